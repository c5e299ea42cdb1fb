#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the system parts that the tests use: MariaDB, PostgreSQL and RabbitMQ servers, and what real guests need
# (libvirt, QEMU, a kernel, busybox, the makers of small images). The tests start all of them themselves, as
# private instances. As an ordinary user it names what is missing instead. With the argument `xen` also what the
# tests of Xen guests need, which only Debian has; with `container` what builds and runs the container image.
set -u
PATH=$PATH:/usr/sbin:/sbin:/usr/libexec

# part | what shows that it is here | Debian's package | Rocky's package
parts='
mariadb     | command -v mariadbd                                     | mariadb-server            | mariadb-server
postgresql  | command -v initdb || ls /usr/lib/postgresql/*/bin/initdb | postgresql                | postgresql-server
rabbitmq    | [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]            | rabbitmq-server           | rabbitmq-server
libvirt     | command -v libvirtd && command -v virtlogd              | libvirt-daemon-system     | libvirt-daemon-kvm
virsh       | command -v virsh                                        | libvirt-clients           | libvirt-client
lxc-driver  | [ -x /usr/lib/libvirt/libvirt_lxc ] || [ -x /usr/libexec/libvirt_lxc ] | libvirt-daemon-driver-lxc | libvirt-daemon-lxc
headers     | pkg-config --exists libvirt                             | libvirt-dev               | libvirt-devel
pkg-config  | command -v pkg-config                                   | pkg-config                | pkgconf-pkg-config
compiler    | command -v gcc                                          | gcc                       | gcc
qemu        | command -v qemu-system-x86_64 || command -v qemu-kvm    | qemu-system-x86           | qemu-kvm
qemu-img    | command -v qemu-img                                     | qemu-utils                | qemu-img
genisoimage | command -v genisoimage                                  | genisoimage               | genisoimage
busybox     | command -v busybox                                      | busybox-static            | busybox
kernel      | ls -d /lib/modules/*/kernel                             | linux-image-amd64         | kernel-core
modprobe    | command -v modprobe                                     | kmod                      | kmod
cpio        | command -v cpio                                         | cpio                      | cpio
syslinux    | command -v syslinux                                     | syslinux                  | syslinux
mtools      | command -v mcopy                                        | mtools                    | mtools
iproute     | command -v ip                                           | iproute2                  | iproute
dnsmasq     | command -v dnsmasq                                      | dnsmasq-base              | dnsmasq
faketime    | [ -n "$(ls -d /usr/lib*/faketime /usr/lib/*/faketime 2>/dev/null)" ] | libfaketime             | libfaketime
nftables    | command -v nft                                          | nftables                  | nftables
setpriv     | command -v setpriv                                      | util-linux                | util-linux
ebtables    | command -v ebtables                                     | ebtables                  | iptables-nft
cloud-init  | command -v cloud-init                                   | cloud-init                | cloud-init
xmllint     | command -v xmllint                                      | libxml2-utils             | libxml2
firmware    | ls /usr/share/qemu/firmware/*.json                      | ovmf                      | edk2-ovmf
guest-agent | command -v qemu-ga                                      | qemu-guest-agent          | qemu-guest-agent
efi-stub    | ls /usr/lib/systemd/boot/efi/linuxx64.efi.stub          | systemd-boot-efi          | systemd-boot-unsigned
objcopy     | command -v objcopy                                      | binutils                  | binutils
mkfs.vfat   | command -v mkfs.vfat                                    | dosfstools                | dosfstools
qemu-nbd    | command -v qemu-nbd                                     | qemu-utils                | qemu-img
qemu-iscsi  | ls /usr/lib*/*/qemu/block-iscsi.so /usr/lib*/qemu-kvm/block-iscsi.so 2>/dev/null \| grep . | qemu-block-extra | none
tgtd        | command -v tgtd                                         | tgt                       | none
'

[ "${1:-}" = xen ] && parts+='
xen         | ls /boot/xen-4.17-amd64.gz                              | xen-hypervisor-4.17-amd64 | xen-hypervisor
xen-tools   | [ -x /usr/lib/xen-4.17/bin/xl ]                         | xen-utils-4.17            | xen-runtime
xenstore    | command -v xenstore-ls                                  | xenstore-utils            | xen-runtime
xen-qemu    | [ -x /usr/libexec/xen-qemu-system-i386 ]                | qemu-system-xen           | qemu-kvm
xl-driver   | ls /usr/lib/*/libvirt/connection-driver/libvirt_driver_libxl.so | libvirt-daemon-driver-xen | libvirt-daemon-xen
'

[ "${1:-}" = container ] && parts+='
podman      | command -v podman                                       | podman                    | podman
runc        | command -v runc                                         | runc                      | runc
debootstrap | command -v debootstrap                                  | debootstrap               | debootstrap
'

names=() debian=() rocky=()
while IFS= read -r line; do
    [ -n "$line" ] || continue
    name=$(awk -F' +[|] ' '{print $1}' <<<"$line")
    check=$(awk -F' +[|] ' '{print $2}' <<<"$line")
    deb=$(awk -F' +[|] ' '{print $3}' <<<"$line")
    rpm=$(awk -F' +[|] ' '{print $4}' <<<"$line")
    if ! eval "$check" >/dev/null 2>&1; then
        names+=("$name") debian+=("$deb")
        # Not packaged there: the tests leave out what needs it.
        [ "$rpm" = none ] || rocky+=("$rpm")
    fi
done <<<"$parts"
[ ${#names[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "not root: the tests that need ${names[*]} are left out"
    exit 0
fi

# cloud-init is here as a reader of metadata; it must not set this machine up when it boots.
case " ${names[*]} " in *" cloud-init "*) mkdir -p /etc/cloud && touch /etc/cloud/cloud-init.disabled ;; esac

if command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    # Packages must not start servers of their own here.
    policy=/usr/sbin/policy-rc.d
    made_policy=
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && made_policy=1
    fi
    echo "installing ${debian[*]}"
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${debian[@]}" >/dev/null
    status=$?
    [ -n "$made_policy" ] && rm -f $policy
    exit $status
fi
if command -v dnf >/dev/null 2>&1; then
    [ ${#rocky[@]} -eq 0 ] && exit 0
    echo "installing ${rocky[*]}"
    exec dnf install -y -q "${rocky[@]}"
fi
echo "neither apt-get nor dnf is here: install ${names[*]} by hand" >&2
exit 1
