# Names for what clients use; neither ever changes: the routes do.

resource "aws_route53_zone" "private" {
  name    = var.private_zone
  comment = "Clients of ${var.name}"

  vpc {
    vpc_id = module.network.vpc_id
  }
}

resource "aws_route53_record" "database" {
  # checkov:skip=CKV2_AWS_23:The virtual IP belongs to no resource: the routes lead it to the active node.
  zone_id = aws_route53_zone.private.zone_id
  name    = "db.${var.private_zone}"
  type    = "A"
  ttl     = 300
  records = [cidrhost(local.virtual_ip, 0)]
}

resource "aws_route53_record" "app" {
  zone_id = aws_route53_zone.private.zone_id
  name    = "groupware.${var.private_zone}"
  type    = "A"

  alias {
    name                   = aws_lb.app.dns_name
    zone_id                = aws_lb.app.zone_id
    evaluate_target_health = false
  }
}
