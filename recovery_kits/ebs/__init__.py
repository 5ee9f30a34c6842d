"""One EBS volume that follows the hierarchy within an availability zone; see README.md beside this file."""

from recovery_kits.ebs.kit import EbsKit, EbsParameters

__all__ = ["EbsKit", "EbsParameters"]
