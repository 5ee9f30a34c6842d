from tests.aws_server.fixtures import aws_process, aws_server, only_loopback, world

__all__ = ["aws_process", "aws_server", "only_loopback", "world"]
