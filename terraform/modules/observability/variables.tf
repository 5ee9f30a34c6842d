variable "cluster" {
  description = "The cluster's name, as in cluster.toml: the dimension Cluster of its figures."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.cluster))
    error_message = "cluster has 1 to 20 small letters, digits and -, and begins with a letter."
  }
}

variable "nodes" {
  description = "Each node's instance: name -> instance id."
  type        = map(string)

  validation {
    condition     = length(var.nodes) >= 2
    error_message = "nodes names at least two."
  }
}

variable "hierarchies" {
  description = "The hierarchies that shall always be in service somewhere."
  type        = set(string)

  validation {
    condition     = length(var.hierarchies) > 0
    error_message = "hierarchies names at least one."
  }
}

variable "namespace" {
  description = "The CloudWatch namespace that the agents put their figures in."
  type        = string
  default     = "Kagemusha"

  validation {
    condition     = can(regex("^[A-Za-z0-9._/#-]{1,255}$", var.namespace)) && !startswith(var.namespace, "AWS/")
    error_message = "namespace has 1 to 255 letters, digits and . _ / # -, and doesn't begin with AWS/."
  }
}

variable "emails" {
  description = "Who gets the agents' notices and the alarms by mail; each must confirm once."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for each in var.emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", each))])
    error_message = "emails holds mail addresses such as ops@example.com."
  }
}
