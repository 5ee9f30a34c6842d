variable "name" {
  description = "The cluster's name, and what the names of everything here begin with."
  type        = string
  default     = "garoon"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.name))
    error_message = "name has 1 to 20 small letters, digits and -, and begins with a letter."
  }
}

variable "region" {
  description = "The region."
  type        = string
  default     = "ap-northeast-1"

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region is such as ap-northeast-1."
  }
}

variable "zone_letters" {
  description = "The two availability zones, by their last letters: that of db-01 and that of db-02."
  type        = list(string)
  default     = ["a", "c"]

  validation {
    condition     = length(distinct(var.zone_letters)) == 2 && length(var.zone_letters) == 2 && alltrue([for each in var.zone_letters : can(regex("^[a-z]$", each))])
    error_message = "zone_letters are two different letters, such as [\"a\", \"c\"]."
  }
}

variable "package" {
  description = "The agent's Debian package, as `make packages` builds it: where the nodes get it, https://….deb or s3://BUCKET/….deb, and its SHA-256."
  type = object({
    source = string
    sha256 = string
  })
}

variable "image_id" {
  description = "The AMI of all instances, Debian 12 for the architecture of both instance types; null: Debian's newest."
  type        = string
  default     = null

  validation {
    condition     = var.image_id == null || can(regex("^ami-[0-9a-f]+$", var.image_id))
    error_message = "image_id is an AMI's id, ami-…, or null."
  }
}

variable "node_type" {
  description = "The nodes' instance type, a Nitro one."
  type        = string
  default     = "t3.medium"

  validation {
    condition     = can(regex("^[a-z0-9-]+\\.[a-z0-9-]+$", var.node_type))
    error_message = "node_type is such as t3.medium."
  }
}

variable "device" {
  description = "What the nodes call their first network interface: ens5 on Nitro types up to the sixth generation."
  type        = string
  default     = "ens5"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{0,14}$", var.device))
    error_message = "device is a network device such as ens5."
  }
}

variable "preset" {
  description = "How long silence means death: fast (0.3 s), balanced (2 s) or conservative (10 s)."
  type        = string
  default     = "balanced"

  validation {
    condition     = contains(["fast", "balanced", "conservative"], var.preset)
    error_message = "preset is fast, balanced or conservative."
  }
}

variable "data_volume_gib" {
  description = "The size of each node's volume with its copy of the data."
  type        = number
  default     = 20

  validation {
    condition     = var.data_volume_gib >= 1 && var.data_volume_gib <= 16384 && floor(var.data_volume_gib) == var.data_volume_gib
    error_message = "data_volume_gib is a whole number from 1 to 16384."
  }
}

variable "on_premises_ranges" {
  description = "Networks outside of AWS whose clients come by a transit gateway, as over Direct Connect. Empty: none is made."
  type        = list(string)
  default     = []
}

variable "emails" {
  description = "Who gets notices and alarms by mail."
  type        = set(string)
  default     = []
}

variable "private_zone" {
  description = "The private DNS zone: db.ZONE is the virtual IP, groupware.ZONE the load balancer."
  type        = string
  default     = "groupware.internal"

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.private_zone))
    error_message = "private_zone is a DNS name in small letters, such as groupware.internal."
  }
}

variable "endpoint" {
  description = "Where all of AWS's APIs are, for tests; null: AWS itself."
  type        = string
  default     = null

  validation {
    condition     = var.endpoint == null || can(regex("^http://(127\\.|10\\.|localhost)", var.endpoint))
    error_message = "endpoint is null, or a test server on this machine or a private network."
  }
}
