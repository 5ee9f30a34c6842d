# The key that seals what the nodes say to each other. Terraform writes it once and never reads it back: it is in no
# state, no plan and no user data. The nodes get it by their roles.

# Far more random bits than the 256 of a key: hashed, they have the key file's format, 64 hexadecimal digits.
ephemeral "aws_secretsmanager_random_password" "this" {
  password_length     = 64
  exclude_punctuation = true
}

resource "aws_ssm_parameter" "this" {
  # checkov:skip=CKV_AWS_337:AWS's key for Parameter Store encrypts it; one of one's own would outlive a destroy by a week.
  name        = var.name
  description = "The key that seals what the nodes of ${var.cluster} say to each other"
  type        = "SecureString"
  value_wo    = sha256(ephemeral.aws_secretsmanager_random_password.this.random_password)
  # Another number would write another key, with which the nodes don't understand each other: `kage keygen` rotates.
  value_wo_version = 1
}
