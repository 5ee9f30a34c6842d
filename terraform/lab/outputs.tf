output "cluster_toml" {
  description = "The finished cluster.toml, with the ids of what was made."
  value       = local.cluster_toml
}

output "policy" {
  description = "What the nodes' agents may do: what `kage iam-policy` prints for cluster_toml."
  value       = local.policy
}

output "parameters" {
  description = "Where the nodes get their files."
  value       = local.names
}

output "nodes" {
  description = "Each node's instance, its interfaces (the one that the virtual IP is led to first) and its role."
  value = {
    for name, each in module.node : name => {
      instance_id   = each.instance_id
      zone          = local.zones[local.nodes[name]].zone
      interface_ids = each.interface_ids
      role_name     = each.role_name
    }
  }
}

output "vpc_id" {
  description = "The VPC."
  value       = module.network.vpc_id
}

output "subnet_ids" {
  description = "Every subnet's id by its purpose and zone, such as app-a."
  value       = module.network.subnet_ids
}

output "app_route_table_ids" {
  description = "The route tables that lead clients to the virtual IP, by zone."
  value       = module.network.app_route_table_ids
}

output "public_route_table_id" {
  description = "The route table of the NAT gateways' subnets, which no agent may change."
  value       = module.network.public_route_table_id
}

output "instances" {
  description = "What to name to `aws ssm start-session --target`."
  value = merge(
    { for name, each in module.node : name => each.instance_id },
    { for name, each in aws_instance.host : name => each.id },
  )
}

output "names" {
  description = "What clients in the VPC use: the database by the virtual IP, and the app by the load balancer."
  value       = { database = aws_route53_record.database.fqdn, app = aws_route53_record.app.fqdn }
}
