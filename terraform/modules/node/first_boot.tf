# What the node does at its first boot. No secret is in here: user data can be read by whoever may describe the
# instance. The cluster key and cluster.toml come from Parameter Store, by the node's own role.

locals {
  user_data = join("\n", ["#cloud-config", yamlencode({
    hostname          = var.name
    preserve_hostname = false
    write_files = concat(
      [for path, content in var.files : { path = path, permissions = "0755", content = content }],
      [
        {
          path        = "/etc/systemd/network/05-kagemusha-second.network"
          permissions = "0644"
          content     = local.second_interface
        },
        { path = "/etc/kagemusha/parameters.json", permissions = "0644", content = jsonencode({
          region        = data.aws_region.current.name
          "cluster.key" = var.parameters.key.name
          # The last: once it is there, there is all that an agent needs.
          "cluster.toml" = var.parameters.config.name
        }) },
        { path = "/etc/modules-load.d/kagemusha.conf", permissions = "0644", content = "softdog\nnbd\nraid1\n" },
        {
          path        = "/usr/local/sbin/kagemusha-configure"
          permissions = "0755"
          content     = file("${path.module}/files/kagemusha_configure.py")
        },
        {
          path        = "/usr/local/sbin/kagemusha-first-boot"
          permissions = "0755"
          content     = file("${path.module}/files/kagemusha-first-boot")
        },
      ]
    )
    runcmd = [["/usr/local/sbin/kagemusha-first-boot", var.package.source, var.package.sha256, data.aws_region.current.name]]
  })])

  # What is sent from the second interface's address leaves by it, else the two comm paths would be one.
  second_interface = <<-EOT
    [Match]
    MACAddress=${aws_network_interface.second.mac_address}
    [Network]
    Address=${var.interfaces[1].address}/${split("/", var.interfaces[1].range)[1]}
    [Route]
    Gateway=${cidrhost(var.interfaces[1].range, 1)}
    Table=2
    [RoutingPolicyRule]
    From=${var.interfaces[1].address}
    Table=2
  EOT
}
