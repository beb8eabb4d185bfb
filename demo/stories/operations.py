"""The table of docs/aws.md: asks a running server for every operation of the models of AWS's services, and notes which it knows.

With UPDATE_AWS_TABLE=1 it writes the table; without, it fails if the table says something else.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.session

SERVICES = ["sts", "iam", "cognito-identity", "cognito-sync", "cognito-idp", "sns", "s3"]
# These share a method and a path with other operations: AWS has them at hosts of their own.
ELSEWHERE = ["ListDirectoryBuckets", "WriteGetObjectResponse"]
UNKNOWN = ["UnknownOperationException", "InvalidAction", "NotImplemented"]
DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "aws.md"
BEGIN, END = "<!-- the table begins -->", "<!-- the table ends -->"


def start(folder):
    """A server and its environment for AWS's clients."""
    command = [os.environ["DRIFTLESS"], "dev", "--data", f"{folder}/data", "--listen", "127.0.0.1:0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    environment = {}
    for line in server.stdout:
        found = re.search(r"export (AWS_\w+)=(\S+)", line)
        if found:
            environment[found[1]] = found[2]
        if "AWS_SECRET_ACCESS_KEY" in environment:
            return server, environment
    raise SystemExit("the server ended")


def request(endpoint, service, model, operation):
    """A call without its input: an operation that is known says what it misses, or does nothing that lasts."""
    uri = re.sub(r"{[^}]*}", "no-such-thing", operation.http["requestUri"])
    if service == "s3" and operation.input_shape:
        members = [operation.input_shape.members[name] for name in operation.input_shape.required_members]
        for member in members:
            if member.serialization.get("location") == "querystring":
                uri += ("&" if "?" in uri else "?") + member.serialization["name"] + "=1"
    method, body, headers = operation.http["method"], "", {}
    if model.metadata["protocol"] == "query":
        body = f"Action={operation.name}&Version={model.api_version}"
        headers["content-type"] = "application/x-www-form-urlencoded; charset=utf-8"
    elif model.metadata["protocol"] == "json":
        body = "{}"
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"{model.metadata['targetPrefix']}.{operation.name}"}
    elif method in ("POST", "PUT", "PATCH") and service != "s3":
        body = "{}"
    return botocore.awsrequest.AWSRequest(method=method, url=endpoint + uri, data=body.encode(), headers=headers)


def make_bucket(endpoint, credentials):
    """S3 looks for the bucket first: without one it would say so of every operation."""
    call = botocore.awsrequest.AWSRequest(method="PUT", url=f"{endpoint}/no-such-thing", data=b"")
    botocore.auth.S3SigV4Auth(credentials, "s3", "local").add_auth(call)
    prepared = call.prepare()
    sent = urllib.request.Request(prepared.url, headers=dict(prepared.headers.items()), method="PUT")
    try:
        urllib.request.urlopen(sent, timeout=30).close()
    except urllib.error.HTTPError as answer:
        if answer.code != 409:
            raise


def is_known(endpoint, credentials, service, model, operation):
    if service == "s3":
        make_bucket(endpoint, credentials)
    call = request(endpoint, service, model, operation)
    if operation.auth_type != "none":
        kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
        kind(credentials, service, "local").add_auth(call)
    prepared = call.prepare()
    sent = urllib.request.Request(prepared.url, data=prepared.body or None, headers=dict(prepared.headers.items()), method=prepared.method)
    try:
        with urllib.request.urlopen(sent, timeout=30) as answer:
            return answer.status < 500
    except urllib.error.HTTPError as answer:
        text = answer.read().decode(errors="replace") + (answer.headers.get("x-amzn-errortype") or "")
        if answer.code == 500:
            raise SystemExit(f"{service} {operation.name}: {text}")
        return not any(code in text for code in UNKNOWN) and answer.code != 501


def table(endpoint, credentials):
    session = botocore.session.get_session()
    lines = ["| service | answered | not yet |", "| --- | --- | --- |"]
    for service in SERVICES:
        model = session.get_service_model(service)
        known, unknown = [], []
        for name in model.operation_names:
            operation = model.operation_model(name)
            is_here = name not in ELSEWHERE and is_known(endpoint, credentials, service, model, operation)
            (known if is_here else unknown).append(name)
        count = len(known) + len(unknown)
        print(service, f"{len(known)} of {count}", flush=True)
        lines.append(f"| {service}, {len(known)} of {count} | {' '.join(sorted(known))} | {' '.join(sorted(unknown))} |")
    return "\n".join(lines)


def main():
    with tempfile.TemporaryDirectory() as folder:
        server, environment = start(folder)
        try:
            credentials = botocore.credentials.Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
            made = table(environment["AWS_ENDPOINT_URL"], credentials)
        finally:
            server.terminate()
            server.wait()
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    wanted = f"{before}{BEGIN}\n{made}\n{END}{after}"
    if os.environ.get("UPDATE_AWS_TABLE"):
        DOCUMENT.write_text(wanted)
    elif wanted != text:
        sys.exit("docs/aws.md says something else: UPDATE_AWS_TABLE=1 demo/stories/run operations")


main()
