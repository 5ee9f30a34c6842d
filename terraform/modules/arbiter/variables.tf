variable "kind" {
  description = "Where the vote is kept: dynamodb (a table) or s3 (a bucket)."
  type        = string
  default     = "dynamodb"

  validation {
    condition     = contains(["dynamodb", "s3"], var.kind)
    error_message = "kind is dynamodb or s3."
  }
}

variable "name" {
  description = "The table's or the bucket's name. A bucket's must be one that nobody in the world has."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "name has 3 to 63 small letters, digits and -, and neither begins nor ends with -."
  }
}

variable "deletion_protection" {
  description = "Keep `terraform destroy` from deleting the vote: a table that is deleted while nodes don't hear each other takes the third vote away."
  type        = bool
  default     = true
}
