# Who uses the cluster: an app instance in each zone behind an internal load balancer, and a client to try it from.

locals {
  hosts = { "app-a" = "a", "app-c" = "c", "client" = "a" }
  app   = { for name, zone in local.hosts : name => zone if name != "client" }
}

resource "aws_iam_role" "host" {
  name_prefix = "${var.name}-host-"
  description = "App instances and the client: shells by Session Manager, and nothing else"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ec2.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "host" {
  # checkov:skip=CKV_AWS_355:These actions know no resources; it is all that Session Manager asks of an instance.
  # checkov:skip=CKV_AWS_290:These actions know no resources, and change nothing but the instance's own sessions.
  name = "session-manager"
  role = aws_iam_role.host.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "ssm:UpdateInstanceInformation",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
      ]
      Resource = ["*"]
    }]
  })
}

resource "aws_iam_instance_profile" "host" {
  name_prefix = "${var.name}-host-"
  role        = aws_iam_role.host.name
}

resource "aws_instance" "host" {
  # checkov:skip=CKV_AWS_126:A lab's app instances: EC2's figures in finer steps cost.
  for_each = local.hosts

  ami                    = local.image_id
  instance_type          = "t3.micro"
  subnet_id              = module.network.subnet_ids["app-${each.value}"]
  vpc_security_group_ids = [aws_security_group.app.id]
  iam_instance_profile   = aws_iam_instance_profile.host.name
  ebs_optimized          = true
  tags                   = { Name = "${var.name}-${each.key}" }

  user_data = join("\n", ["#cloud-config", yamlencode({
    hostname = each.key
    write_files = [
      { path = "/usr/local/bin/app", permissions = "0755", content = file("${path.module}/files/app.py") },
      { path = "/etc/systemd/system/app.service", permissions = "0644", content = <<-EOT
        [Unit]
        Description=Writes into the groupware's database for whoever asks
        After=network-online.target
        Wants=network-online.target
        [Service]
        ExecStart=/usr/local/bin/app ${local.ports.app} ${cidrhost(local.virtual_ip, 0)} ${local.ports.cyde}
        DynamicUser=yes
        Restart=always
        [Install]
        WantedBy=multi-user.target
      EOT
      },
    ]
    runcmd = concat(
      contains(keys(local.app), each.key) ? [["systemctl", "enable", "--now", "app.service"]] : [],
      [
        ["curl", "--proto", "=https", "-fsSLo", "/run/ssm.deb", "https://s3.${var.region}.amazonaws.com/amazon-ssm-${var.region}/latest/debian_amd64/amazon-ssm-agent.deb"],
        ["dpkg", "--install", "/run/ssm.deb"],
      ]
    )
  })])

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    encrypted   = true
    volume_type = "gp3"
    volume_size = 8
  }

  lifecycle {
    ignore_changes = [ami] # Debian's newest is another one next month
  }
}

resource "aws_lb" "app" {
  # checkov:skip=CKV_AWS_91:Access logs of a lab; a bucket for them would have to be emptied before it can go.
  # checkov:skip=CKV2_AWS_20:It passes TCP on, and is reached from within the VPC alone.
  # checkov:skip=CKV_AWS_150:A lab: destroy shall leave nothing.
  name                             = "${var.name}-app"
  internal                         = true
  load_balancer_type               = "network"
  security_groups                  = [aws_security_group.load_balancer.id]
  subnets                          = [for zone in keys(local.zones) : module.network.subnet_ids["app-${zone}"]]
  enable_cross_zone_load_balancing = true
}

resource "aws_lb_target_group" "app" {
  name     = "${var.name}-app"
  port     = local.ports.app
  protocol = "TCP"
  vpc_id   = module.network.vpc_id

  # The app answers 200 only while the database behind the virtual IP does.
  health_check {
    protocol            = "HTTP"
    path                = "/"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_target_group_attachment" "app" {
  for_each = local.app

  target_group_arn = aws_lb_target_group.app.arn
  target_id        = aws_instance.host[each.key].id
}

resource "aws_lb_listener" "app" {
  load_balancer_arn = aws_lb.app.arn
  port              = local.ports.web
  protocol          = "TCP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.app.arn
  }
}
