# Who reaches what. Routes are resources of their own, never a table's `route` blocks: a table that has such blocks
# would lose the agents' changes at the next apply.

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-public" }
}

resource "aws_route" "internet" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route_table_association" "public" {
  for_each = var.zones

  route_table_id = aws_route_table.public.id
  subnet_id      = aws_subnet.this["public-${each.key}"].id
}

resource "aws_route_table" "app" {
  for_each = var.zones

  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-app-${each.key}" }
}

resource "aws_route_table_association" "app" {
  for_each = var.zones

  route_table_id = aws_route_table.app[each.key].id
  subnet_id      = aws_subnet.this["app-${each.key}"].id
}

resource "aws_route_table" "nodes" {
  for_each = var.zones

  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-nodes-${each.key}" }
}

resource "aws_route_table_association" "cluster" {
  for_each = var.zones

  route_table_id = aws_route_table.nodes[each.key].id
  subnet_id      = aws_subnet.this["cluster-${each.key}"].id
}

resource "aws_route_table_association" "replication" {
  for_each = var.zones

  route_table_id = aws_route_table.nodes[each.key].id
  subnet_id      = aws_subnet.this["replication-${each.key}"].id
}

resource "aws_route" "out_of_app" {
  for_each = var.zones

  route_table_id         = aws_route_table.app[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[each.key].id
}

resource "aws_route" "out_of_nodes" {
  for_each = var.zones

  route_table_id         = aws_route_table.nodes[each.key].id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[each.key].id
}

# The agents move these at every failover: Terraform makes them once, and removes them at the end.
resource "aws_route" "virtual_ip" {
  for_each = var.zones

  route_table_id         = aws_route_table.app[each.key].id
  destination_cidr_block = var.virtual_ip
  network_interface_id   = var.virtual_ip_interface

  lifecycle {
    ignore_changes = [network_interface_id]
  }
}

# The arbiter's vote doesn't depend on a NAT gateway. These two kinds of endpoint cost nothing.
resource "aws_vpc_endpoint" "gateway" {
  for_each = toset(["dynamodb", "s3"])

  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${data.aws_region.current.name}.${each.key}"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = concat([for each in aws_route_table.nodes : each.id], [for each in aws_route_table.app : each.id])
  tags              = { Name = "${var.name}-${each.key}" }
}
