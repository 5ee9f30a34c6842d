output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "subnet_ids" {
  description = "Every subnet's id by its purpose and zone, such as app-a; known once it has its way out."
  value       = { for key, each in aws_subnet.this : key => each.id }

  # An instance installs packages as soon as it boots, and a NAT gateway takes longer than a boot.
  depends_on = [
    aws_route.internet,
    aws_route.out_of_app,
    aws_route.out_of_nodes,
    aws_route_table_association.public,
    aws_route_table_association.app,
    aws_route_table_association.cluster,
    aws_route_table_association.replication,
    aws_vpc_endpoint.gateway,
  ]
}

output "app_route_table_ids" {
  description = "The route tables that lead clients to the virtual IP, by zone: those of the route kit."
  value       = { for key, each in aws_route_table.app : key => each.id }
}

output "virtual_ip_routes" {
  description = "The ids of the routes to the virtual IP. Agents make one again that is missing: each node's `routes`."
  value       = [for each in aws_route.virtual_ip : each.id]
}

output "public_route_table_id" {
  description = "The route table of the NAT gateways' subnets."
  value       = aws_route_table.public.id
}

output "transit_gateway_id" {
  description = "The transit gateway; null where there is none."
  value       = one([for each in aws_ec2_transit_gateway.this : each.id])
}
