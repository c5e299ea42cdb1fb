# SPDX-License-Identifier: Apache-2.0
# nova-compute (and every other daemon) in a container:
#     docker build --network=host -t nova:1.0.0 .
#     docker build --network=host --build-arg TZ=Asia/Shanghai --build-arg LIBVIRT_GID=983 -t nova:1.0.0 .
# How to run it is in deploy/systemd/openstack-nova-compute.service.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev pkg-config libvirt-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY nova ./nova
RUN python -m venv /opt/nova \
    && /opt/nova/bin/pip install --no-cache-dir '.[libvirt,rabbit,mysql,postgresql,network]'

FROM python:3.11-slim-bookworm
# The guests' programs run on the host; these are for their disks and networks.
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
       libvirt0 libvirt-clients qemu-utils genisoimage dosfstools mtools e2fsprogs xfsprogs \
       iproute2 dnsmasq-base nftables tzdata tini \
    && rm -rf /var/lib/apt/lists/*
ARG TZ=UTC
ENV TZ=${TZ} PATH=/opt/nova/bin:${PATH} PYTHONUNBUFFERED=1
RUN ln -snf "/usr/share/zoneinfo/${TZ}" /etc/localtime && echo "${TZ}" > /etc/timezone
# The host's numbers of these groups: `getent group libvirt docker qemu` there. They own the sockets and disks
# that the container shares with it.
ARG LIBVIRT_GID=983
ARG DOCKER_GID=982
ARG QEMU_GID=107
RUN groupadd --gid 162 nova \
    && groupadd --non-unique --gid "${LIBVIRT_GID}" libvirt \
    && groupadd --non-unique --gid "${DOCKER_GID}" docker \
    && groupadd --non-unique --gid "${QEMU_GID}" qemu \
    && groupadd --non-unique --gid 65534 nobody \
    && useradd --uid 162 --gid nova --groups libvirt,docker,nobody,qemu \
       --home-dir /var/lib/nova --no-create-home --shell /usr/sbin/nologin nova \
    && install -d -o nova -g nova -m 0755 /var/lib/nova /var/lib/nova/host-keys /var/log/nova /etc/nova
COPY --from=build /opt/nova /opt/nova
USER nova
# With the host's process ids tini is not the first of them.
ENTRYPOINT ["tini", "-s", "--"]
CMD ["nova-compute"]
