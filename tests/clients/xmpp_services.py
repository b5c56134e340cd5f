"""Asks an XMPP server for its external services (XEP-0215) as a guest, and prints the attributes of each as JSON."""

import json
import re
import socket
import sys
import xml.etree.ElementTree as tree

HOST, DOMAIN = sys.argv[1:]
STREAM = (
    f"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='{DOMAIN}' version='1.0'>"
)
SERVICES = "urn:xmpp:extdisco:2"


def exchange(connection, text, end):
    """Sends a text, and reads until the server has written `end`."""
    connection.sendall(text.encode())
    heard = ""
    while end not in heard:
        more = connection.recv(65536)
        if not more:
            sys.exit(f"the server ended after {heard}")
        heard += more.decode()
    return heard


connection = socket.create_connection((HOST, 5222), timeout=20)
exchange(connection, STREAM, "</stream:features>")
guest = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>"
exchange(connection, guest, "<success")
exchange(connection, STREAM, "</stream:features>")
bind = "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
exchange(connection, bind, "</iq>")
query = f"<iq type='get' to='{DOMAIN}' id='services'><services xmlns='{SERVICES}'/></iq>"
answer = exchange(connection, query, "</iq>")
services = re.search(r"<services.*</services>", answer, re.DOTALL)
if not services:
    sys.exit(answer)
found = tree.fromstring(services[0])
print(json.dumps([service.attrib for service in found]))
