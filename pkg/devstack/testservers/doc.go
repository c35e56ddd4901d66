// Package testservers finds the PostgreSQL, RabbitMQ and Redis that tests run
// against. For each the first that applies is taken:
//
//  1. a URL in TEST_DATABASE_URL, TEST_RABBITMQ_URL (with its HTTP API in
//     TEST_RABBITMQ_MANAGEMENT_URL, user and password included) or
//     TEST_REDIS_URL;
//  2. a container, where a Docker engine answers and the image is there or can
//     be pulled;
//  3. the programs that are installed on this machine, started as private
//     servers by package devstack;
//  4. else an error that names the command to install them.
//
// TESTSTACK=env, docker or local allows only the first, second or third.
// Nothing is passed over in silence.
package testservers
