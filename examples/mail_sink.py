"""A mail server on loopback that prints each message and refuses every third: to see retries."""

import itertools
import socketserver
import threading
from email import message_from_bytes, policy


class MailSink(socketserver.StreamRequestHandler):
    """An SMTP conversation that prints each message and refuses every third."""

    timeout = 10  # seconds
    numbers = itertools.count(1)

    def handle(self) -> None:
        self.reply("220 sink")
        for line in self.rfile:
            match line[:4].upper():
                case b"HELO" | b"EHLO" | b"MAIL" | b"RCPT" | b"RSET" | b"NOOP":
                    self.reply("250 OK")
                case b"DATA":
                    self.reply("354 end with a dot")
                    self.deliver(b"".join(iter(self.data_line, b"")))
                case b"QUIT":
                    self.reply("221 bye")
                    return
                case _:
                    self.reply("502 not implemented")

    def data_line(self) -> bytes:
        line = self.rfile.readline()
        return b"" if line == b".\r\n" else line.removeprefix(b".")

    def deliver(self, data: bytes) -> None:
        refused = next(self.numbers) % 3 == 0
        mail = message_from_bytes(data, policy=policy.default)
        text = str(mail.get_content()).partition("\n")[0]
        verdict = "refused" if refused else "delivered"
        print(f"mail {verdict}: {mail['To']} | {mail['Subject']} | {text}", flush=True)
        self.reply("451 try again later" if refused else "250 OK")

    def reply(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


def start_mail_sink() -> str:
    """Start the sink and return its SMTP_URL.

    One thread answers one connection after the other: no lock around the count, and no thread
    to start while the process drains, when some versions of Python refuse to.
    """
    sink = socketserver.TCPServer(("127.0.0.1", 0), MailSink)
    threading.Thread(target=sink.serve_forever, name="mail-sink", daemon=True).start()
    return f"smtp://127.0.0.1:{sink.server_address[1]}"
