variable "name" {
  description = "What cluster.toml calls the node, such as db-01."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{0,15}$", var.name))
    error_message = "name has 1 to 16 small letters, digits and -, and doesn't begin with -."
  }
}

variable "cluster" {
  description = "The cluster's name, as in cluster.toml."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.cluster))
    error_message = "cluster has 1 to 20 small letters, digits and -, and begins with a letter."
  }
}

variable "interfaces" {
  description = "Two network interfaces in different subnets of one zone, so that the comm paths fail apart: each with its subnet, the subnet's range, and the node's address there. Routes to the virtual IP lead to the first."
  type = list(object({
    subnet_id = string
    range     = string
    address   = string
  }))

  validation {
    condition     = length(var.interfaces) == 2 && length(distinct([for each in var.interfaces : each.subnet_id])) == length(var.interfaces)
    error_message = "interfaces are two, in different subnets."
  }

  validation {
    condition = alltrue([
      for each in var.interfaces :
      try(cidrsubnet("${each.address}/${split("/", each.range)[1]}", 0, 0) == each.range && each.address != cidrhost(each.range, 1), false)
    ])
    error_message = "Each interface's address is within its range, and not the router's (the range's first)."
  }
}

variable "routes" {
  description = "The ids of the routes to the virtual IP: they are there before the instance, and go after it."
  type        = list(string)
  default     = []
}

variable "security_group_ids" {
  description = "The security groups of both interfaces."
  type        = list(string)

  validation {
    condition     = length(var.security_group_ids) > 0
    error_message = "security_group_ids names at least one: without any, AWS gives the VPC's default group."
  }
}

variable "image_id" {
  description = "The AMI: Debian 12."
  type        = string

  validation {
    condition     = startswith(var.image_id, "ami-")
    error_message = "image_id is an AMI's id, ami-…"
  }
}

variable "instance_type" {
  description = "The instance's type: a Nitro one, with two network interfaces at least."
  type        = string
  default     = "t3.medium"

  validation {
    condition     = can(regex("^[a-z0-9-]+\\.[a-z0-9-]+$", var.instance_type))
    error_message = "instance_type is such as t3.medium."
  }
}

variable "zone" {
  description = "The availability zone of both subnets, for the data volume."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9][a-z]$", var.zone))
    error_message = "zone is an availability zone such as ap-northeast-1a."
  }
}

variable "data_volume_gib" {
  description = "The size of the volume that holds this node's copy of the data."
  type        = number
  default     = 20

  validation {
    condition     = var.data_volume_gib >= 1 && var.data_volume_gib <= 16384 && floor(var.data_volume_gib) == var.data_volume_gib
    error_message = "data_volume_gib is a whole number from 1 to 16384."
  }
}

variable "kms_key_id" {
  description = "The ARN of the KMS key that encrypts both volumes; null: the account's own key for EBS."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_id == null || can(regex("^arn:[a-z-]+:kms:", var.kms_key_id))
    error_message = "kms_key_id is a KMS key's ARN, arn:aws:kms:…"
  }
}

variable "policy" {
  description = "What the agent may do, as JSON: what `kage iam-policy` prints for the cluster.toml."
  type        = string

  validation {
    condition = try(alltrue([
      for each in jsondecode(var.policy).Statement :
      each.Effect == "Allow" && alltrue([for action in flatten([each.Action]) : !endswith(action, "*")])
    ]), false)
    error_message = "policy is an IAM policy that allows actions by their whole names, as `kage iam-policy` prints it."
  }
}

variable "parameters" {
  description = "The Parameter Store parameters that the node's files come from at its first boot: cluster.toml, and the cluster key as a SecureString."
  type = object({
    config = object({ name = string, arn = string })
    key    = object({ name = string, arn = string })
  })

  validation {
    condition     = alltrue([for each in values(var.parameters) : startswith(each.name, "/") && endswith(each.arn, each.name)])
    error_message = "Each of parameters has a name that begins with /, and the ARN that ends with it."
  }
}

variable "package" {
  description = "The Debian package of the agent: where it is, https://… or s3://BUCKET/KEY, and its SHA-256, which is checked before it is installed."
  type = object({
    source = string
    sha256 = string
  })

  validation {
    condition     = can(regex("^(https://[^\\s']+|s3://[a-z0-9.-]+/[^\\s']+)\\.deb$", var.package.source))
    error_message = "package.source is https://….deb or s3://BUCKET/….deb."
  }

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.package.sha256))
    error_message = "package.sha256 is 64 small hexadecimal digits, as sha256sum prints them."
  }
}

variable "files" {
  description = "Further files that the node gets at its first boot, such as the scripts that cluster.toml names: absolute path -> content. They are root's, and may be executed by all."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for path in keys(var.files) : startswith(path, "/")])
    error_message = "The paths of files are absolute."
  }
}
