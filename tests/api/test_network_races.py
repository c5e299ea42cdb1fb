# SPDX-License-Identifier: Apache-2.0
"""Several requests at once for what only one can have."""

from __future__ import annotations

import threading

from tests.api.cloud_process import Answer, CloudProcess

ROUNDS = 5
CLIENTS = 4


def test_of_boots_with_one_port_one_is_accepted_and_the_others_are_refused(
    cloud: CloudProcess,
) -> None:
    network = cloud.call("network", "GET", "/v2.0/networks?name=private").json["networks"][0]["id"]
    image = cloud.call("compute", "GET", "/v2.1/images").json["images"][0]["id"]
    port = cloud.call("network", "POST", "/v2.0/ports", {"port": {"network_id": network}}).json["port"]
    cloud.login("demo")
    for _ in range(ROUNDS):
        answers: list[Answer] = []
        together = threading.Barrier(CLIENTS)

        def boot(together: threading.Barrier = together, answers: list[Answer] = answers) -> None:
            together.wait()
            answers.append(cloud.compute("POST", "/servers", {"server": {
                "name": "race", "imageRef": image, "flavorRef": "1",
                "networks": [{"port": port["id"]}, {"uuid": network}]}}))

        threads = [threading.Thread(target=boot) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(each.status for each in answers) == [202, *[409] * (CLIENTS - 1)]
        for each in answers:
            assert each.status == 202 or "still in use" in each.body.decode()
        winner = next(each for each in answers if each.status == 202).json["server"]["id"]
        server = cloud.until(winner, "ACTIVE")
        (held,) = server["addresses"].values()
        assert next(each["addr"] for each in held) == port["fixed_ips"][0]["ip_address"]
        assert len(held) == 2
        cloud.compute("DELETE", f"/servers/{winner}")
        cloud.until_gone(winner)
        shown = cloud.call("network", "GET", f"/v2.0/ports/{port['id']}").json["port"]
        assert shown["device_id"] == ""
        assert shown["fixed_ips"] == port["fixed_ips"]
    cloud.call("network", "DELETE", f"/v2.0/ports/{port['id']}")
    assert cloud.call("network", "GET", "/v2.0/ports").json["ports"] == []
