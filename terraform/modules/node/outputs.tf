output "instance_id" {
  description = "The instance."
  value       = aws_instance.this.id
}

output "interface_ids" {
  description = "The network interfaces, the one that the virtual IP is led to first."
  value       = local.interface_ids
}

output "data_disk" {
  description = "What the node calls its data volume, after every boot: the mirror's disk."
  value       = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${replace(aws_ebs_volume.data.id, "-", "")}"
}

output "role_name" {
  description = "The node's role."
  value       = aws_iam_role.this.name
}
