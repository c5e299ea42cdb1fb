# SPDX-License-Identifier: Apache-2.0
"""EC2 signatures against what botocore's signer (1.44) made for the same requests."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from nova.identity.signatures import SignedRequest, sign, signature_is_right

ACCESS = "5c23f0a8774e4a44a8b7b87f8eb5ecec"
SECRET = "128ff095d358452eb2fb5c5ee92d8d95"
PARAMS = {
    "Action": "DescribeInstances",
    "Version": "2016-11-15",
    "Filter.1.Name": "tag:Nämé",
    "Filter.1.Value.1": "a b/c~*",
}
V2 = {
    **PARAMS,
    "AWSAccessKeyId": ACCESS,
    "SignatureVersion": "2",
    "SignatureMethod": "HmacSHA256",
    "Timestamp": "2026-11-21T02:00:00Z",
}
SCOPE = f"{ACCESS}/20261121/nova/ec2/aws4_request"
V4_POST = "f3caed262c126fcb68b3b6404222ab89cdd8e1e6f5d275ee161fb257a0920dee"
V4_GET = "8e7b23c58b604a109f89071ac4e17704bc5840e2796e5ca400ff65a428b0a125"
V4_QUERY = "26dffac086bd6ac81f37be99485af6f8b02abdf7a972a0ec6f560181891d2fa8"


def request(**changes: Any) -> SignedRequest:
    values: dict[str, Any] = {
        "access": ACCESS, "host": "127.0.0.1:8773", "path": "/services/Cloud",
    }
    return SignedRequest(**{**values, **changes})


FROM_BOTOCORE = {
    "version 4, form in the body": request(
        verb="POST",
        signature=V4_POST,
        params=PARAMS,
        headers={
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "X-Amz-Date": "20261121T020000Z",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={SCOPE}, "
            f"SignedHeaders=content-type;host;x-amz-date, Signature={V4_POST}",
        },
        body_hash="4e291f0de849329759c194c5e4f9f5c385f96805e370079c80adc0d51597312a",
    ),
    "version 4, query and header": request(
        verb="GET",
        signature=V4_GET,
        params=PARAMS,
        headers={
            "x-amz-date": "20261121T020000Z",
            "authorization": f"AWS4-HMAC-SHA256 Credential={SCOPE}, "
            f"SignedHeaders=host;x-amz-date, Signature={V4_GET}",
        },
    ),
    "version 4, all in the query": request(
        verb="GET",
        signature=V4_QUERY,
        params={
            **PARAMS,
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": SCOPE,
            "X-Amz-Date": "20261121T020000Z",
            "X-Amz-Expires": "60",
            "X-Amz-SignedHeaders": "host",
            "X-Amz-Signature": V4_QUERY,
        },
    ),
    "version 2, GET": request(
        verb="GET", signature="cuVrwPoFTs19mxH/M+kYaGFBWcdtGPPEKpcrdd+YN44=", params=V2
    ),
    "version 2, POST": request(
        verb="POST", signature="VVbvhFL+XVw2NdxRQH0MF3Uafb1aCVrhoUIKqlPgHtc=", params=V2
    ),
}


@pytest.mark.parametrize("signed", FROM_BOTOCORE.values(), ids=FROM_BOTOCORE.keys())
def test_a_right_signature_is_right(signed: SignedRequest) -> None:
    assert signature_is_right(signed, SECRET)


@pytest.mark.parametrize("signed", FROM_BOTOCORE.values(), ids=FROM_BOTOCORE.keys())
def test_another_secret_path_verb_or_host_makes_it_wrong(signed: SignedRequest) -> None:
    assert not signature_is_right(signed, SECRET + "x")
    for changes in ({"path": "/"}, {"verb": "PUT"}, {"host": "elsewhere"}):
        assert not signature_is_right(msgspec.structs.replace(signed, **changes), SECRET)


def test_another_body_makes_version_4_wrong() -> None:
    signed = msgspec.structs.replace(
        FROM_BOTOCORE["version 4, form in the body"], body_hash="0" * 64
    )
    assert not signature_is_right(signed, SECRET)


def test_another_parameter_makes_version_2_wrong() -> None:
    signed = msgspec.structs.replace(
        FROM_BOTOCORE["version 2, GET"], params={**V2, "Action": "TerminateInstances"}
    )
    assert not signature_is_right(signed, SECRET)


@pytest.mark.parametrize("version", ["0", "1", "2"])
def test_old_versions_sign_and_verify(version: str) -> None:
    unsigned = request(
        verb="GET", signature="", params={**PARAMS, "SignatureVersion": version,
                                          "Timestamp": "2026-11-21T02:00:00Z"},
    )
    signature = sign(unsigned, SECRET)
    assert signature is not None
    signed = msgspec.structs.replace(unsigned, signature=signature)
    assert signature_is_right(signed, SECRET)
    assert not signature_is_right(signed, "other")


def test_a_signature_without_the_port_of_the_host_is_right() -> None:
    unsigned = request(verb="GET", signature="", params=V2, host="cloud.example")
    signed = msgspec.structs.replace(
        unsigned, signature=sign(unsigned, SECRET) or "", host="cloud.example:8773"
    )
    assert signature_is_right(signed, SECRET)


@pytest.mark.parametrize(
    "params", [{"SignatureVersion": "9"}, {"X-Amz-Algorithm": "AWS4-HMAC-SHA256"}]
)
def test_an_unknown_version_or_half_a_request_has_no_right_signature(
    params: dict[str, str],
) -> None:
    signed = request(verb="GET", signature="", params=params)
    assert sign(signed, SECRET) is None
    assert not signature_is_right(signed, SECRET)
