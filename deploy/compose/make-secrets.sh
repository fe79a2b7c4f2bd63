#!/bin/sh
# Makes the passwords of docker-compose.yml, each a random one, in ./secrets. What is there stays:
# PostgreSQL and RabbitMQ take a password only when they make their data.
set -eu
cd "$(dirname "$0")"

random() {
  od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

# The folder is this user's alone. Inside a container each file is read by another user, and has
# the mode that it has here.
mkdir -p secrets
chmod 700 secrets
umask 022

[ -e secrets/postgres_password ] || random > secrets/postgres_password

[ -e secrets/redis_password ] || random > secrets/redis_password
printf 'requirepass %s\n' "$(cat secrets/redis_password)" > secrets/redis.conf

[ -e secrets/rabbitmq_password ] || random > secrets/rabbitmq_password
password=$(cat secrets/rabbitmq_password)
printf 'default_user = dsproxy\ndefault_pass = %s\n' "$password" > secrets/rabbitmq.conf
printf 'amqp://dsproxy:%s@rabbitmq:5672/' "$password" > secrets/rabbitmq_url

# For monitoring.yml.
[ -e secrets/grafana_password ] || random > secrets/grafana_password
