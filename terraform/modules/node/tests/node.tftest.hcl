mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { name = "ap-northeast-1" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_ebs_volume" {
    defaults = { id = "vol-0123456789abcdef0" }
  }
  mock_resource "aws_network_interface" {
    defaults = { mac_address = "02:00:00:00:00:01" }
  }
}

variables {
  name    = "db-01"
  cluster = "test"
  zone    = "ap-northeast-1a"
  interfaces = [
    { subnet_id = "subnet-0", range = "10.0.3.0/24", address = "10.0.3.4" },
    { subnet_id = "subnet-1", range = "10.0.12.0/24", address = "10.0.12.4" },
  ]
  security_group_ids = ["sg-0"]
  image_id           = "ami-0"
  policy             = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":[\"ec2:ReplaceRoute\"],\"Resource\":[\"arn:aws:ec2:ap-northeast-1:123456789012:route-table/rtb-0\"]}]}"
  parameters = {
    config = { name = "/kagemusha/test/cluster.toml", arn = "arn:aws:ssm:ap-northeast-1:123456789012:parameter/kagemusha/test/cluster.toml" }
    key    = { name = "/kagemusha/test/cluster.key", arn = "arn:aws:ssm:ap-northeast-1:123456789012:parameter/kagemusha/test/cluster.key" }
  }
  package = {
    source = "https://packages.example.com/kagemusha.deb"
    sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  }
}

run "a_node" {
  assert {
    condition     = aws_instance.this.metadata_options[0].http_tokens == "required" && aws_instance.this.metadata_options[0].http_put_response_hop_limit == 1
    error_message = "IMDSv2 is required, and answers reach the host alone."
  }
  assert {
    condition     = aws_network_interface.first.source_dest_check == false
    error_message = "The first interface takes packets for the virtual IP."
  }
  assert {
    condition     = aws_instance.this.root_block_device[0].encrypted && aws_ebs_volume.data.encrypted
    error_message = "Both volumes are encrypted."
  }
  assert {
    condition = {
      for each in aws_instance.this.network_interface : each.device_index => each.network_interface_id
    } == { 0 = aws_network_interface.first.id, 1 = aws_network_interface.second.id }
    error_message = "It has both interfaces from the start."
  }
  assert {
    condition     = toset(aws_network_interface.second.private_ips) == toset(["10.0.12.4"])
    error_message = "The second comm path is another interface."
  }
  assert {
    condition     = strcontains(local.user_data, "From=10.0.12.4") && strcontains(local.user_data, "Gateway=10.0.12.1")
    error_message = "What is sent from the second interface's address leaves by it."
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.agent.policy) == jsondecode(var.policy)
    error_message = "The agent's policy is the one that was given."
  }
  assert {
    condition = [for each in jsondecode(aws_iam_role_policy.first_boot.policy).Statement : [each.Action, each.Resource]] == [
      [["ssm:GetParameter"], [var.parameters.config.arn, var.parameters.key.arn]]
    ]
    error_message = "A node reads its own two parameters and nothing else."
  }
  assert {
    condition     = output.data_disk == "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0"
    error_message = "The disk is named by its volume, however the kernel numbers it."
  }
}

run "a_package_in_a_bucket_may_be_read" {
  variables {
    package = {
      source = "s3://example-packages/kagemusha.deb"
      sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    }
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.first_boot.policy).Statement[1].Resource == ["arn:aws:s3:::example-packages/kagemusha.deb"]
    error_message = "That object, and no other."
  }
}

run "a_newer_package_replaces_no_node" {
  variables {
    image_id = "ami-1"
    package = {
      source = "https://packages.example.com/kagemusha-2.deb"
      sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    }
  }
  assert {
    condition     = aws_instance.this.ami == "ami-0"
    error_message = "Nodes are upgraded in place, never replaced by a new image or package."
  }
}

run "a_package_over_plain_http_is_refused" {
  command = plan
  variables {
    package = {
      source = "http://packages.example.com/kagemusha.deb"
      sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    }
  }
  expect_failures = [var.package]
}

run "a_package_without_its_digest_is_refused" {
  command = plan
  variables {
    package = { source = "https://packages.example.com/kagemusha.deb", sha256 = "" }
  }
  expect_failures = [var.package]
}

run "a_policy_that_allows_everything_of_a_service_is_refused" {
  command = plan
  variables {
    policy = "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"ec2:*\",\"Resource\":\"*\"}]}"
  }
  expect_failures = [var.policy]
}

run "an_address_outside_of_its_subnet_is_refused" {
  command = plan
  variables {
    interfaces = [
      { subnet_id = "subnet-0", range = "10.0.3.0/24", address = "10.0.4.4" },
      { subnet_id = "subnet-1", range = "10.0.12.0/24", address = "10.0.12.4" },
    ]
  }
  expect_failures = [var.interfaces]
}

run "two_interfaces_in_one_subnet_are_refused" {
  command = plan
  variables {
    interfaces = [
      { subnet_id = "subnet-0", range = "10.0.3.0/24", address = "10.0.3.4" },
      { subnet_id = "subnet-0", range = "10.0.3.0/24", address = "10.0.3.5" },
    ]
  }
  expect_failures = [var.interfaces]
}

run "no_security_group_is_refused" {
  command = plan
  variables {
    security_group_ids = []
  }
  expect_failures = [var.security_group_ids]
}

run "other_wrong_values_are_refused" {
  command = plan
  variables {
    name            = "db_01"
    cluster         = "Test"
    zone            = "tokyo"
    image_id        = "debian-12"
    instance_type   = "large"
    data_volume_gib = 1.5
    kms_key_id      = "alias/ebs"
    files           = { "etc/motd" = "" }
    parameters = {
      config = { name = "config", arn = "arn:aws:ssm:ap-northeast-1:123456789012:parameter/config" }
      key    = { name = "/key", arn = "arn:aws:ssm:ap-northeast-1:123456789012:parameter/other" }
    }
  }
  expect_failures = [
    var.name, var.cluster, var.zone, var.image_id, var.instance_type, var.data_volume_gib, var.kms_key_id,
    var.files, var.parameters,
  ]
}
