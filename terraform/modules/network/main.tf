# One VPC over several zones. In each: a public subnet with a NAT gateway of its own, so that a zone that fails
# takes no other zone's way out with it; an app subnet, whose route table leads the virtual IP to the active node;
# and a subnet for each of the nodes' two interfaces.

data "aws_region" "current" {}

locals {
  subnets = merge([
    for key, each in var.zones : {
      "public-${key}"      = { zone = each.zone, range = each.public }
      "app-${key}"         = { zone = each.zone, range = each.app }
      "cluster-${key}"     = { zone = each.zone, range = each.cluster }
      "replication-${key}" = { zone = each.zone, range = each.replication }
    }
  ]...)
}

resource "aws_vpc" "this" {
  # checkov:skip=CKV2_AWS_11:Flow logs cost by the packet and show nothing that the agents don't tell; whoever must keep them adds an aws_flow_log.
  cidr_block           = var.vpc_range
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

# AWS makes it with everything open among its members; without rules it is of no use to anyone.
resource "aws_default_security_group" "closed" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = "${var.name}-closed" }
}

resource "aws_subnet" "this" {
  for_each = local.subnets

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.value.zone
  cidr_block              = each.value.range
  map_public_ip_on_launch = false
  tags                    = { Name = "${var.name}-${each.key}" }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = var.name }
}

resource "aws_eip" "nat" {
  for_each = var.zones

  domain = "vpc"
  tags   = { Name = "${var.name}-nat-${each.key}" }
}

resource "aws_nat_gateway" "this" {
  for_each = var.zones

  allocation_id = aws_eip.nat[each.key].id
  subnet_id     = aws_subnet.this["public-${each.key}"].id
  tags          = { Name = "${var.name}-${each.key}" }
  depends_on    = [aws_internet_gateway.this]
}
