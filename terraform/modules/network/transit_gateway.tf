# Clients from outside of AWS come by a transit gateway, as over Direct Connect. Its interfaces are in the app
# subnets, so their route tables, which the agents change, lead these clients to the active node as well: the
# gateway's own route to the virtual IP never changes.

locals {
  transit = length(var.on_premises_ranges) > 0 ? { this = true } : {}
  onward = {
    for pair in setproduct(keys(var.zones), var.on_premises_ranges) :
    "${pair[0]} ${pair[1]}" => { zone = pair[0], range = pair[1] }
  }
}

resource "aws_ec2_transit_gateway" "this" {
  for_each = local.transit

  description                    = "Clients of ${var.name} from outside of AWS"
  auto_accept_shared_attachments = "disable"
  tags                           = { Name = var.name }
}

resource "aws_ec2_transit_gateway_vpc_attachment" "this" {
  for_each = local.transit

  transit_gateway_id = aws_ec2_transit_gateway.this[each.key].id
  vpc_id             = aws_vpc.this.id
  subnet_ids         = [for key in keys(var.zones) : aws_subnet.this["app-${key}"].id]
  tags               = { Name = var.name }
}

resource "aws_ec2_transit_gateway_route" "virtual_ip" {
  for_each = local.transit

  destination_cidr_block         = var.virtual_ip
  transit_gateway_attachment_id  = aws_ec2_transit_gateway_vpc_attachment.this[each.key].id
  transit_gateway_route_table_id = aws_ec2_transit_gateway.this[each.key].association_default_route_table_id
}

resource "aws_route" "app_to_on_premises" {
  for_each = local.onward

  route_table_id         = aws_route_table.app[each.value.zone].id
  destination_cidr_block = each.value.range
  transit_gateway_id     = aws_ec2_transit_gateway_vpc_attachment.this["this"].transit_gateway_id
}

resource "aws_route" "nodes_to_on_premises" {
  for_each = local.onward

  route_table_id         = aws_route_table.nodes[each.value.zone].id
  destination_cidr_block = each.value.range
  transit_gateway_id     = aws_ec2_transit_gateway_vpc_attachment.this["this"].transit_gateway_id
}
