variable "name" {
  description = "What the names of everything here begin with."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.name))
    error_message = "name has 1 to 20 small letters, digits and -, and begins with a letter."
  }
}

variable "vpc_range" {
  description = "The VPC's IPv4 range."
  type        = string
  default     = "10.0.0.0/16"

  validation {
    condition     = try(cidrsubnet(var.vpc_range, 0, 0) == var.vpc_range, false)
    error_message = "vpc_range is a network such as 10.0.0.0/16, without host bits."
  }
}

variable "zones" {
  description = "The availability zones, each under a short name, with the range of each of its subnets: public (NAT gateway), app (clients), cluster and replication (the nodes' two interfaces)."
  type = map(object({
    zone        = string
    public      = string
    app         = string
    cluster     = string
    replication = string
  }))

  validation {
    condition     = length(var.zones) >= 2 && length(distinct([for each in var.zones : each.zone])) == length(var.zones)
    error_message = "zones names at least two, each once: nodes in one zone fail together."
  }

  validation {
    condition = alltrue([
      for each in var.zones : alltrue([
        for range in [each.public, each.app, each.cluster, each.replication] :
        try(
          cidrsubnet(range, 0, 0) == range &&
          cidrsubnet("${cidrhost(range, 0)}/${split("/", var.vpc_range)[1]}", 0, 0) == var.vpc_range,
          false
        )
      ])
    ])
    error_message = "Every subnet is a network such as 10.0.1.0/24, without host bits and within vpc_range."
  }
}

variable "virtual_ip" {
  description = "The virtual IP as a route, such as 10.1.0.10/32, outside of the VPC's range: a route within it can't lead to another zone."
  type        = string

  validation {
    condition     = can(regex("/32$", var.virtual_ip)) && can(cidrhost(var.virtual_ip, 0))
    error_message = "virtual_ip is one IPv4 address with /32, such as 10.1.0.10/32."
  }

  validation {
    condition     = try(cidrsubnet("${cidrhost(var.virtual_ip, 0)}/${split("/", var.vpc_range)[1]}", 0, 0) != var.vpc_range, true)
    error_message = "virtual_ip lies outside of vpc_range: a route within it can't lead to another zone."
  }
}

variable "virtual_ip_interface" {
  description = "The network interface that the routes to the virtual IP lead to at first. From then on the agents move them, and Terraform leaves them where they are."
  type        = string

  validation {
    condition     = startswith(var.virtual_ip_interface, "eni-")
    error_message = "virtual_ip_interface is a network interface's id, eni-…"
  }
}

variable "on_premises_ranges" {
  description = "Networks outside of AWS (Direct Connect, VPN) that reach the VPC and the virtual IP by a transit gateway. Empty: no transit gateway is made."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for each in var.on_premises_ranges : try(cidrsubnet(each, 0, 0) == each, false) && !endswith(each, "/0")])
    error_message = "on_premises_ranges holds networks such as 192.168.0.0/16, without host bits, and never 0.0.0.0/0."
  }
}
