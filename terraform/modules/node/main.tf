# One node: an instance with two network interfaces and an encrypted volume for its copy of the data.

locals {
  interface_ids = [aws_network_interface.first.id, aws_network_interface.second.id]
}

# Interfaces of their own, not the instance's: routes may lead to the first before the instance is there, and after it.
resource "aws_network_interface" "first" {
  description       = "${var.cluster} ${var.name}: clients, first comm path"
  subnet_id         = var.interfaces[0].subnet_id
  private_ips       = [var.interfaces[0].address]
  security_groups   = var.security_group_ids
  source_dest_check = false # it takes packets for the virtual IP, which isn't an address of its own
  tags              = { Name = "${var.cluster}-${var.name}-0" }
}

resource "aws_network_interface" "second" {
  description     = "${var.cluster} ${var.name}: replication, second comm path"
  subnet_id       = var.interfaces[1].subnet_id
  private_ips     = [var.interfaces[1].address]
  security_groups = var.security_group_ids
  tags            = { Name = "${var.cluster}-${var.name}-1" }
}

resource "aws_instance" "this" {
  # checkov:skip=CKV_AWS_126:The agents put figures of their own each minute; EC2's in finer steps cost and tell nothing of the cluster.
  ami                  = var.image_id
  instance_type        = var.instance_type
  iam_instance_profile = aws_iam_instance_profile.this.name
  ebs_optimized        = true
  user_data_base64     = base64gzip(local.user_data)
  tags                 = { Name = "${var.cluster}-${var.name}" }

  # An agent makes a route again that is missing: none is taken away while it runs.
  depends_on = [var.routes]

  dynamic "network_interface" {
    for_each = local.interface_ids
    content {
      device_index         = network_interface.key
      network_interface_id = network_interface.value
    }
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  root_block_device {
    encrypted   = true
    kms_key_id  = var.kms_key_id
    volume_type = "gp3"
    volume_size = 16
  }

  lifecycle {
    # Both count at the first boot alone. A newer image or package must never replace the nodes of a running
    # cluster, and least of all both at once: they are upgraded in place, the standby first.
    ignore_changes = [ami, user_data_base64]

    precondition {
      condition     = length(base64gzip(local.user_data)) <= 16384 * 4 / 3
      error_message = "user data has 16 KiB at most once it is packed: let a package bring the larger files."
    }
  }
}

resource "aws_ebs_volume" "data" {
  availability_zone = var.zone
  size              = var.data_volume_gib
  type              = "gp3"
  encrypted         = true
  kms_key_id        = var.kms_key_id
  tags              = { Name = "${var.cluster}-${var.name}-data" }
}

resource "aws_volume_attachment" "data" {
  device_name = "/dev/sdf"
  volume_id   = aws_ebs_volume.data.id
  instance_id = aws_instance.this.id

  # What the mirror uses can't be detached: destroy would wait in vain.
  stop_instance_before_detaching = true
}
