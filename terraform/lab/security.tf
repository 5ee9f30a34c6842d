# Who may speak to whom. Rules stand in their groups, so that one added by hand is taken out by the next apply.
# No group lets anybody in from everywhere; shells go by Session Manager, which needs no way in.

locals {
  app_ranges = [for each in local.zones : each.app]
  clients    = concat(local.app_ranges, var.on_premises_ranges)
  # Debian's packages (80, signed), AWS's APIs and Session Manager (443).
  outward = { http = 80, https = 443 }
  ports   = { comm = 7400, mirror = 10809, cyde = 3770, app = 8080, web = 80 }
}

resource "aws_security_group" "nodes" {
  # checkov:skip=CKV2_AWS_5:Both nodes' interfaces have it, which the check can't see through the module.
  name        = "${var.name}-nodes"
  description = "Between the nodes, and from the clients of the virtual IP"
  vpc_id      = module.network.vpc_id
  tags        = { Name = "${var.name}-nodes" }

  ingress {
    description = "Heartbeats"
    protocol    = "udp"
    from_port   = local.ports.comm
    to_port     = local.ports.comm
    self        = true
  }
  ingress {
    description = "Messages"
    protocol    = "tcp"
    from_port   = local.ports.comm
    to_port     = local.ports.comm
    self        = true
  }
  ingress {
    description = "The mirror"
    protocol    = "tcp"
    from_port   = local.ports.mirror
    to_port     = local.ports.mirror
    self        = true
  }
  # By ranges: a rule that names the clients' group doesn't hold for packets that a route led here.
  ingress {
    description = "Clients of the virtual IP"
    protocol    = "tcp"
    from_port   = local.ports.cyde
    to_port     = local.ports.cyde
    cidr_blocks = local.clients
  }

  egress {
    description = "Heartbeats"
    protocol    = "udp"
    from_port   = local.ports.comm
    to_port     = local.ports.comm
    self        = true
  }
  egress {
    description = "Messages"
    protocol    = "tcp"
    from_port   = local.ports.comm
    to_port     = local.ports.comm
    self        = true
  }
  egress {
    description = "The mirror"
    protocol    = "tcp"
    from_port   = local.ports.mirror
    to_port     = local.ports.mirror
    self        = true
  }
  dynamic "egress" {
    for_each = local.outward

    content {
      description = "Packages and AWS, by ${egress.key}"
      protocol    = "tcp"
      from_port   = egress.value
      to_port     = egress.value
      cidr_blocks = ["0.0.0.0/0"]
    }
  }
}

resource "aws_security_group" "app" {
  name        = "${var.name}-app"
  description = "App instances and the client"
  vpc_id      = module.network.vpc_id
  tags        = { Name = "${var.name}-app" }

  ingress {
    description     = "The load balancer, its health checks too"
    protocol        = "tcp"
    from_port       = local.ports.app
    to_port         = local.ports.app
    security_groups = [aws_security_group.load_balancer.id]
  }

  egress {
    description = "The virtual IP"
    protocol    = "tcp"
    from_port   = local.ports.cyde
    to_port     = local.ports.cyde
    cidr_blocks = [local.virtual_ip]
  }
  dynamic "egress" {
    for_each = local.outward

    content {
      description = "Packages, AWS and the load balancer, by ${egress.key}"
      protocol    = "tcp"
      from_port   = egress.value
      to_port     = egress.value
      cidr_blocks = ["0.0.0.0/0"]
    }
  }
}

resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-load-balancer"
  description = "Clients of the app"
  vpc_id      = module.network.vpc_id
  tags        = { Name = "${var.name}-load-balancer" }

  ingress {
    description = "Clients of the app"
    protocol    = "tcp"
    from_port   = local.ports.web
    to_port     = local.ports.web
    cidr_blocks = local.clients
  }

  egress {
    description = "App instances"
    protocol    = "tcp"
    from_port   = local.ports.app
    to_port     = local.ports.app
    cidr_blocks = local.app_ranges
  }
}
