# The reference cluster: db-01 and db-02 in two zones, the virtual IP 10.1.0.10 that the route tables of both app
# subnets lead to the active one, an arbiter outside of both.

locals {
  virtual_ip = "10.1.0.10/32"
  hierarchy  = "groupware"
  zones = {
    a = {
      zone        = "${var.region}${var.zone_letters[0]}"
      public      = "10.0.0.0/24"
      app         = "10.0.1.0/24"
      cluster     = "10.0.3.0/24"
      replication = "10.0.12.0/24"
    }
    c = {
      zone        = "${var.region}${var.zone_letters[1]}"
      public      = "10.0.8.0/24"
      app         = "10.0.4.0/24"
      cluster     = "10.0.6.0/24"
      replication = "10.0.14.0/24"
    }
  }
  nodes  = { "db-01" = "a", "db-02" = "c" } # the first has the highest priority
  garoon = "${path.module}/../../examples/garoon"
  example = {
    for name in setunion([for pattern in ["apps/*.py", "scripts/**"] : fileset(local.garoon, pattern)]...) :
    "/opt/kagemusha/${name}" => file("${local.garoon}/${name}")
  }
  image_id = coalesce(var.image_id, one([for each in data.aws_ami.debian : each.id]))
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

data "aws_ami" "debian" {
  count = var.image_id == null ? 1 : 0

  owners      = ["136693071363"] # Debian: https://wiki.debian.org/Cloud/AmazonEC2Image
  most_recent = true

  filter {
    name   = "name"
    values = ["debian-12-amd64-*"]
  }
}

module "network" {
  source = "../modules/network"

  name                 = var.name
  zones                = local.zones
  virtual_ip           = local.virtual_ip
  virtual_ip_interface = module.node["db-01"].interface_ids[0]
  on_premises_ranges   = var.on_premises_ranges
}

module "node" {
  source   = "../modules/node"
  for_each = local.nodes

  name    = each.key
  cluster = var.name
  zone    = local.zones[each.value].zone
  interfaces = [
    for purpose in ["cluster", "replication"] : {
      subnet_id = module.network.subnet_ids["${purpose}-${each.value}"]
      range     = local.zones[each.value][purpose]
      address   = cidrhost(local.zones[each.value][purpose], 4)
    }
  ]
  routes             = module.network.virtual_ip_routes
  security_group_ids = [aws_security_group.nodes.id]
  image_id           = local.image_id
  instance_type      = var.node_type
  data_volume_gib    = var.data_volume_gib
  policy             = local.policy
  parameters         = local.parameters
  package            = var.package
  files              = local.example
}

module "arbiter" {
  source = "../modules/arbiter"

  name                = "${var.name}-kagemusha"
  deletion_protection = false # a lab: destroy shall leave nothing
}

module "observability" {
  source = "../modules/observability"

  cluster     = var.name
  nodes       = { for name, each in module.node : name => each.instance_id }
  hierarchies = [local.hierarchy]
  emails      = var.emails
}
