"""An Elastic IP that follows the hierarchy; see README.md beside this file."""

from recovery_kits.elastic_ip.kit import ElasticIpKit, ElasticIpParameters

__all__ = ["ElasticIpKit", "ElasticIpParameters"]
