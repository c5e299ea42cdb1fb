# SPDX-License-Identifier: Apache-2.0
"""The cloud with the real Keystone and the real Glance in place of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.cloud_process import BASE_PORTS, CloudProcess, wait_for
from tests.services import openstack_services
from tests.services.openstack_services import PASSWORD
from tests.services.servers import MissingServer

keystoneauth1 = pytest.importorskip("keystoneauth1", reason="the extra external is not installed")

from keystoneauth1.identity.v3 import Password  # noqa: E402
from keystoneauth1.session import Session  # noqa: E402

_DEFAULT = {"user_domain_id": "default", "project_domain_id": "default"}


@dataclasses.dataclass(frozen=True)
class Companions:
    """The running services, and who may log in."""

    keystone: str
    glance: str
    admin: Session

    def session(self, user: str, password: str, project: str) -> Session:
        """A login of its own."""
        auth = Password(
            auth_url=f"{self.keystone}/v3", username=user, password=password, project_name=project, **_DEFAULT
        )
        return Session(auth=auth, timeout=60)

    def made(self, path: str, kind: str, **facts: Any) -> str:
        """The id of something made in Keystone."""
        answer = self.admin.post(f"{self.keystone}/v3{path}", json={kind: facts})
        found: str = answer.json()[kind]["id"]
        return found

    def endpoint(self, kind: str, name: str, url: str) -> None:
        """A service and its endpoints in the catalogue."""
        service = self.made("/services", "service", type=kind, name=name)
        for interface in ("public", "internal"):
            self.made(
                "/endpoints", "endpoint", service_id=service, interface=interface, url=url,
                region_id="RegionOne",
            )
        # The next token has them in its catalogue.
        self.admin.invalidate()

    def member(self, name: str) -> Session:
        """A project with one member of it."""
        project = self.made("/projects", "project", name=name, domain_id="default")
        user = self.made(
            "/users", "user", name=name, password=f"{name}-geheim", domain_id="default"
        )
        roles = self.admin.get(f"{self.keystone}/v3/roles?name=member").json()["roles"]
        self.admin.put(f"{self.keystone}/v3/projects/{project}/users/{user}/roles/{roles[0]['id']}")
        return self.session(name, f"{name}-geheim", name)


@pytest.fixture(scope="module")
def companions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companions]:
    home = tmp_path_factory.mktemp("companions")
    try:
        openstack_services.environment()
    except MissingServer as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
    with (
        openstack_services.keystone(home / "keystone") as keystone,
        openstack_services.glance(home / "glance", keystone) as glance,
    ):
        auth = Password(
            auth_url=f"{keystone}/v3", username="admin", password=PASSWORD, project_name="admin", **_DEFAULT
        )
        found = Companions(keystone, glance, Session(auth=auth, timeout=60))
        found.endpoint("image", "glance", glance)
        yield found


def kilo_configuration(companions: Companions) -> str:
    """As an operator of Kilo writes it."""
    host, _, port = companions.glance.removeprefix("http://").partition(":")
    return (
        "[DEFAULT]\nauth_strategy = keystone\nfake_network = True\n"
        "network_manager = nova.network.manager.FlatDHCPManager\n"
        f"[keystone_authtoken]\nauth_uri = {companions.keystone}/v3\n"
        f"identity_uri = {companions.keystone}\nadmin_tenant_name = admin\nadmin_user = admin\n"
        f"admin_password = {PASSWORD}\n"
        f"[glance]\nhost = {host}\nport = {port}\n"
    )


@pytest.fixture(scope="module")
def cloud(
    companions: Companions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CloudProcess]:
    home = tmp_path_factory.mktemp("cloud")
    (home / "nova.conf").write_text(kilo_configuration(companions), encoding="utf-8")
    running = CloudProcess(home / "state", arguments=["--config-file", str(home / "nova.conf")])
    companions.endpoint(
        "compute", "nova", f"http://127.0.0.1:{BASE_PORTS['compute'] + running.offset}/v2.1"
    )
    yield running.start()
    assert running.stop() == 0, running.log
    assert "Traceback" not in running.log, running.log


@pytest.fixture(scope="module")
def demo(companions: Companions) -> Session:
    return companions.member("dämo")


class Compute:
    """The compute API as the catalogue of Keystone has it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._to = {"service_type": "compute", "interface": "public", "region_name": "RegionOne"}

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return self._session.request(
            path, method, json=body, endpoint_filter=self._to, raise_exc=False, headers=headers
        )

    def server(self, uuid: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/servers/{uuid}").json()["server"]
        return found

    def until(self, uuid: str, status: str) -> None:
        seen: dict[str, Any] = {}

        def reached() -> bool:
            seen.update(self.server(uuid))
            return seen["status"] == status and seen["OS-EXT-STS:task_state"] is None

        wait_for(reached, lambda: str(seen), timeout=60)


class Images:
    """Glance itself, asked by its users."""

    def __init__(self, session: Session, address: str) -> None:
        self._session = session
        self._address = address

    def call(self, method: str, path: str, **options: Any) -> Any:
        return self._session.request(f"{self._address}/v2{path}", method, raise_exc=False, **options)

    def make(self, name: str, data: bytes, **facts: Any) -> str:
        answer = self.call(
            "POST", "/images",
            json={"name": name, "disk_format": "raw", "container_format": "bare", **facts},
        )
        assert answer.status_code == 201, answer.text
        uuid: str = answer.json()["id"]
        stored = self.call(
            "PUT", f"/images/{uuid}/file", data=data, headers={"Content-Type": "application/octet-stream"}
        )
        assert stored.status_code == 204, stored.text
        return uuid

    def show(self, uuid: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/images/{uuid}").json()
        return found


@pytest.fixture(scope="module")
def compute(cloud: CloudProcess, demo: Session) -> Compute:
    return Compute(demo)


@pytest.fixture(scope="module")
def images(companions: Companions, demo: Session) -> Images:
    return Images(demo, companions.glance)


@pytest.fixture(scope="module")
def image(images: Images) -> str:
    return images.make("Abbild", secrets.token_bytes(100_000), hw_qemu_guest_agent="yes", min_disk=1)


@pytest.fixture
def boot(compute: Compute, image: str) -> Iterator[Callable[[], str]]:
    made: list[str] = []

    def one() -> str:
        answer = compute.call("POST", "/servers", {"server": {
            "name": "größe", "imageRef": image, "flavorRef": "1",
        }})
        assert answer.status_code == 202, answer.text
        made.append(answer.json()["server"]["id"])
        compute.until(made[-1], "ACTIVE")
        return made[-1]

    yield one
    for uuid in made:
        compute.call("DELETE", f"/servers/{uuid}")
    for uuid in made:
        wait_for(
            lambda uuid=uuid: compute.call("GET", f"/servers/{uuid}").status_code == 404,  # type: ignore[misc]
            lambda uuid=uuid: f"server {uuid} is still there",  # type: ignore[misc]
        )


def test_a_server_boots_from_an_image_of_glance(
    boot: Callable[[], str], compute: Compute, image: str
) -> None:
    server = compute.server(boot())
    assert server["image"]["id"] == image
    assert server["name"] == "größe"


def test_a_snapshot_goes_to_glance_as_its_users_own(
    boot: Callable[[], str], compute: Compute, images: Images, image: str
) -> None:
    uuid = boot()
    answer = compute.call(
        "POST", f"/servers/{uuid}/action",
        {"createImage": {"name": "Schnappschuß", "metadata": {"zweck": "für später"}}},
    )
    assert answer.status_code == 202, answer.text
    snapshot = answer.headers["Location"].rpartition("/")[2]
    wait_for(lambda: images.show(snapshot).get("status") == "active", lambda: str(images.show(snapshot)))
    found = images.show(snapshot)
    server = compute.server(uuid)
    assert found["name"] == "Schnappschuß"
    assert found["owner"] == server["tenant_id"]
    assert found["visibility"] == "private"
    assert (found["instance_uuid"], found["base_image_ref"]) == (uuid, image)
    assert found["zweck"] == "für später"
    assert found["size"] > 0
    assert images.call("DELETE", f"/images/{snapshot}").status_code == 204


def test_the_image_proxy_shows_and_changes_what_glance_has(
    compute: Compute, images: Images, image: str
) -> None:
    listed = compute.call("GET", "/images/detail").json()["images"]
    assert {each["id"] for each in listed} == {
        each["id"] for each in images.call("GET", "/images").json()["images"]
    }
    shown = compute.call("GET", f"/images/{image}").json()["image"]
    assert (shown["name"], shown["status"], shown["minDisk"]) == ("Abbild", "ACTIVE", 1)
    assert shown["OS-EXT-IMG-SIZE:size"] == 100_000
    changed = compute.call("POST", f"/images/{image}/metadata", {"metadata": {"a.b: c": "ä"}})
    assert changed.status_code == 200, changed.text
    assert images.show(image)["a.b: c"] == "ä"
    assert compute.call("DELETE", f"/images/{image}/metadata/a.b: c").status_code == 204
    assert "a.b: c" not in images.show(image)


def test_lists_of_images_are_paged_through(compute: Compute, images: Images) -> None:
    made = [images.make(f"seite-{number}", b"x") for number in range(3)]
    page = compute.call("GET", "/images?limit=2").json()
    assert len(page["images"]) == 2
    rest = compute.call("GET", f"/images?marker={page['images'][-1]['id']}").json()["images"]
    seen = {each["id"] for each in (*page["images"], *rest)}
    assert set(made) <= seen
    for uuid in made:
        assert compute.call("DELETE", f"/images/{uuid}").status_code == 204
        assert images.call("GET", f"/images/{uuid}").status_code == 404


def test_nobody_boots_from_an_image_that_glance_does_not_show_him(
    compute: Compute, companions: Companions
) -> None:
    hidden = Images(companions.admin, companions.glance).make("verborgen", b"x", visibility="private")
    for uuid in (hidden, "11111111-2222-3333-4444-555555555555"):
        answer = compute.call("POST", "/servers", {"server": {
            "name": "x", "imageRef": uuid, "flavorRef": "1",
        }})
        assert answer.status_code == 400, answer.text
        assert "Can not find requested image" in answer.text


@pytest.mark.parametrize("token", ["nonsense", "gAAAAABnonsense", "ä".encode().decode("latin-1")])
def test_a_token_that_keystone_does_not_know_is_401_with_its_address(
    cloud: CloudProcess, companions: Companions, token: str
) -> None:
    answer = cloud.call("compute", "GET", "/v2.1/servers", by=token)
    assert answer.status == 401
    assert companions.keystone in answer.headers["WWW-Authenticate"]


def test_roles_of_keystone_decide(compute: Compute, cloud: CloudProcess, companions: Companions) -> None:
    assert compute.call("GET", "/os-services").status_code == 403
    assert Compute(companions.admin).call("GET", "/os-services").status_code == 200


def test_a_token_with_access_rules_cannot_be_kept_to_them_and_is_refused(
    cloud: CloudProcess, companions: Companions, demo: Session
) -> None:
    user = demo.get_user_id()
    made = demo.post(
        f"{companions.keystone}/v3/users/{user}/application_credentials",
        json={"application_credential": {
            "name": "eng", "secret": "geheim",
            "access_rules": [{"path": "/v2.1/servers", "method": "GET", "service": "compute"}],
        }},
    ).json()["application_credential"]
    answer = demo.post(
        f"{companions.keystone}/v3/auth/tokens", authenticated=False,
        json={"auth": {"identity": {
            "methods": ["application_credential"],
            "application_credential": {"id": made["id"], "secret": "geheim"},
        }}},
    )
    token = answer.headers["X-Subject-Token"]
    assert cloud.call("compute", "GET", "/v2.1/servers", by=token).status == 401


def test_health_tells_of_both(cloud: CloudProcess, companions: Companions) -> None:
    answer = cloud.call("compute", "GET", "/healthcheck", by=companions.admin.get_token())
    assert answer.status == 200
    parts = json.loads(answer.body)["parts"]
    assert parts["identity"]["ok"]
    assert parts["image"]["ok"]


def test_the_built_in_services_are_not_served(cloud: CloudProcess, tmp_path: Path) -> None:
    for name in ("identity", "image"):
        with pytest.raises(ConnectionRefusedError):
            cloud.call(name, "GET", "/", by=None)
    assert not (cloud.state / "admin-openrc.sh").exists()
