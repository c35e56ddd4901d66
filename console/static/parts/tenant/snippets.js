// @ts-check
// Programs that publish and read, filled in with the tenant and the address of the service.

import { session } from "../../api.js";

/** Where the service is, as this page was reached. */
const origin = () => location.origin;

/** A text in quotation marks, as all of the languages have them. */
const q = JSON.stringify;

/** A placeholder for what a caller shows. */
const key = "$LANEKEEPER_API_KEY";

/** Whether calls need a key at all. */
const needsKey = () => session.token !== "";

/** @param {string} tenantId */
export function curlPublish(tenantId) {
  return [
    `curl -X POST ${origin()}/api/messages \\`,
    ...(needsKey() ? [`  -H "Authorization: Bearer ${key}" \\`] : []),
    `  -H "X-Tenant-ID: ${tenantId}" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -H "Idempotency-Key: $(uuidgen)" \\`,
    `  -d '{"payload": {"text": "hello"}, "type": "order.created"}'`,
  ].join("\n");
}

/** @param {string} tenantId */
export function curlStream(tenantId) {
  return [
    `curl -N "${origin()}/api/messages/stream?cursor=0" \\`,
    ...(needsKey() ? [`  -H "Authorization: Bearer ${key}" \\`] : []),
    `  -H "X-Tenant-ID: ${tenantId}"`,
  ].join("\n");
}

/** @param {string} tenantId */
export function goProgram(tenantId) {
  return `package main

import (
	${q("context")}
	${q("fmt")}
	${q("log")}
${needsKey() ? `\t${q("os")}\n` : ""}
	${q("lanekeeper/pkg/client")}
)

func main() {
	c, err := client.New(${q(origin())}${needsKey() ? ', client.WithKey(os.Getenv("LANEKEEPER_API_KEY"))' : ""},
		client.WithTenant(${q(tenantId)}))
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	// Safe to repeat: it has an idempotency key.
	receipt, err := c.PublishValue(context.Background(), map[string]string{"text": "hello"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("accepted", receipt.ID)
}
`;
}

/** @param {string} tenantId */
export function nodeProgram(tenantId) {
  return `import { Lanekeeper } from ${q("lanekeeper-client")};

const client = new Lanekeeper({
  url: ${q(origin())},
${needsKey() ? "  token: process.env.LANEKEEPER_API_KEY,\n" : ""}});
const tenant = ${q(tenantId)};

// Resolves when the broker has confirmed it. Safe to repeat: it has an idempotency key.
const { id } = await client.publish(tenant, { payload: { text: "hello" }, type: "order.created" });
console.log("accepted", id);

// Each message as it is stored; goes on where it broke.
for await (const message of client.stream(tenant, { after: 0 })) {
  console.log(message.seq, message.payload);
}
`;
}

/**
 * A program for AMQP.
 * @param {{url: string, username: string, exchange: string} | null} amqp null where there are no credentials yet
 * @param {string} tenantId
 */
export function pikaProgram(amqp, tenantId) {
  const url = amqp ? amqp.url.replace("://", `://${encodeURIComponent(amqp.username)}:PASSWORD@`) : "amqp://USER:PASSWORD@BROKER:5672/%2F";
  return `import json

import pika

# AMQP credentials of the tenant: they may publish to its exchange and do nothing else.
connection = pika.BlockingConnection(pika.URLParameters(${q(url)}))
channel = connection.channel()
channel.confirm_delivery()

# Raises NackError or UnroutableError unless the message is in the queue.
channel.basic_publish(
    exchange="${amqp ? amqp.exchange : `tenant_${tenantId}_exchange`}",
    routing_key="",
    body=json.dumps({"text": "hello"}),
    mandatory=True,
    properties=pika.BasicProperties(
        message_id="order-1842",  # the same one again is stored once
        type="order.created",
        delivery_mode=2,  # persistent
    ),
)
print("confirmed")
connection.close()
`;
}
