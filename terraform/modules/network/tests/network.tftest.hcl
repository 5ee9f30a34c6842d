mock_provider "aws" {
  mock_data "aws_region" {
    defaults = { name = "ap-northeast-1" }
  }
}

variables {
  name                 = "test"
  virtual_ip           = "10.1.0.10/32"
  virtual_ip_interface = "eni-0000000000000000a"
  zones = {
    a = {
      zone    = "ap-northeast-1a", public = "10.0.0.0/24", app = "10.0.1.0/24"
      cluster = "10.0.3.0/24", replication = "10.0.12.0/24"
    }
    c = {
      zone    = "ap-northeast-1c", public = "10.0.8.0/24", app = "10.0.4.0/24"
      cluster = "10.0.6.0/24", replication = "10.0.14.0/24"
    }
  }
}

run "two_zones" {
  assert {
    condition     = toset([for each in aws_route.virtual_ip : each.destination_cidr_block]) == toset(["10.1.0.10/32"]) && length(aws_route.virtual_ip) == 2
    error_message = "The route table of each app subnet leads to the virtual IP."
  }
  assert {
    condition     = aws_subnet.this["replication-c"].cidr_block == "10.0.14.0/24" && aws_subnet.this["replication-c"].availability_zone == "ap-northeast-1c"
    error_message = "A subnet is in its own zone, with its own range."
  }
  assert {
    condition     = alltrue([for key in ["a", "c"] : aws_route.out_of_nodes[key].nat_gateway_id == aws_nat_gateway.this[key].id])
    error_message = "Each zone's nodes go out by a NAT gateway of their own zone."
  }
  assert {
    condition     = alltrue([for each in aws_subnet.this : !each.map_public_ip_on_launch])
    error_message = "Nothing gets a public address by itself."
  }
  assert {
    condition     = length(aws_default_security_group.closed.ingress) == 0 && length(aws_default_security_group.closed.egress) == 0
    error_message = "The VPC's default security group lets nobody through."
  }
  assert {
    condition     = output.transit_gateway_id == null && length(aws_ec2_transit_gateway.this) == 0
    error_message = "A transit gateway is made only where it is asked for."
  }
}

run "terraform_leaves_routes_where_the_agents_moved_them" {
  variables {
    virtual_ip_interface = "eni-0000000000000000c"
  }

  assert {
    condition     = toset([for each in aws_route.virtual_ip : each.network_interface_id]) == toset(["eni-0000000000000000a"])
    error_message = "Another interface than at first must change no route."
  }
}

run "clients_from_outside_of_aws" {
  variables {
    on_premises_ranges = ["192.168.0.0/16", "172.16.0.0/12"]
  }

  assert {
    condition     = aws_ec2_transit_gateway_route.virtual_ip["this"].destination_cidr_block == "10.1.0.10/32"
    error_message = "The transit gateway leads to the virtual IP."
  }
  assert {
    condition     = length(aws_route.app_to_on_premises) == 4 && length(aws_route.nodes_to_on_premises) == 4
    error_message = "Answers find their way back from both zones to both networks."
  }
}

run "a_virtual_ip_within_the_vpc_is_refused" {
  command = plan
  variables {
    virtual_ip = "10.0.1.10/32"
  }
  expect_failures = [var.virtual_ip]
}

run "a_virtual_ip_of_many_addresses_is_refused" {
  command = plan
  variables {
    virtual_ip = "10.1.0.0/24"
  }
  expect_failures = [var.virtual_ip]
}

run "one_zone_is_refused" {
  command = plan
  variables {
    zones = {
      a = {
        zone    = "ap-northeast-1a", public = "10.0.0.0/24", app = "10.0.1.0/24"
        cluster = "10.0.3.0/24", replication = "10.0.12.0/24"
      }
    }
  }
  expect_failures = [var.zones]
}

run "a_subnet_outside_of_the_vpc_is_refused" {
  command = plan
  variables {
    zones = {
      a = {
        zone    = "ap-northeast-1a", public = "10.0.0.0/24", app = "10.0.1.0/24"
        cluster = "10.0.3.0/24", replication = "10.0.12.0/24"
      }
      c = {
        zone    = "ap-northeast-1c", public = "10.0.8.0/24", app = "10.9.4.0/24"
        cluster = "10.0.6.0/24", replication = "10.0.14.0/24"
      }
    }
  }
  expect_failures = [var.zones]
}

run "the_whole_internet_is_no_network_of_ones_own" {
  command = plan
  variables {
    on_premises_ranges = ["0.0.0.0/0"]
  }
  expect_failures = [var.on_premises_ranges]
}

run "a_vpc_range_with_host_bits_is_refused" {
  command = plan
  variables {
    vpc_range = "10.0.0.1/16"
  }
  expect_failures = [var.vpc_range]
}

run "a_wrong_name_or_interface_is_refused" {
  command = plan
  variables {
    name                 = "Test cluster"
    virtual_ip_interface = "eth0"
  }
  expect_failures = [var.name, var.virtual_ip_interface]
}
