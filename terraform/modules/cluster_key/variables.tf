variable "cluster" {
  description = "The cluster's name, for people."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,19}$", var.cluster))
    error_message = "cluster has 1 to 20 small letters, digits and -, and begins with a letter."
  }
}

variable "name" {
  description = "The parameter's name in Parameter Store."
  type        = string

  validation {
    condition     = can(regex("^(/[A-Za-z0-9_.-]+)+$", var.name))
    error_message = "name begins with / and has letters, digits and . - _ between its slashes."
  }
}
