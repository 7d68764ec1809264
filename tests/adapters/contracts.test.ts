import { afterAll, beforeAll } from "vitest";
import { openCache, openCoordination, openDatabase, openLiveFeed } from "@flashloan/shared/adapters/open";
import { openAmqpEventBus } from "@flashloan/shared/adapters/amqp-event-bus";
import { cacheContract } from "@flashloan/shared/contract/cache";
import { coordinationContract } from "@flashloan/shared/contract/coordination";
import { databaseContract } from "@flashloan/shared/contract/database";
import { eventBusContract } from "@flashloan/shared/contract/event-bus";
import { liveFeedContract } from "@flashloan/shared/contract/live-feed";
import { newDatabaseUrl } from "../support/databases.ts";
import { startEtcd, startPostgres, startRabbit, startRedis, type TestServer } from "../support/servers.ts";

// The adapters of the real servers pass the very suites that the embedded ones pass.
let servers: TestServer[] = [];

beforeAll(async () => {
  servers = await Promise.all([startPostgres(), startRedis(), startRabbit(), startEtcd()]);
});
afterAll(async () => {
  await Promise.all(servers.map((server) => server.remove()));
});

const urlOf = (scheme: string): string => servers.find(({ url }) => url.startsWith(scheme))?.url ?? "";

eventBusContract("amqp:", () => openAmqpEventBus(urlOf("amqp:"), { newQueueSettleMs: 0 }));
cacheContract("redis:", () => openCache(urlOf("redis:")));
liveFeedContract("redis:", () => openLiveFeed(urlOf("redis:")));
coordinationContract("etcd:", () => openCoordination(urlOf("etcd:")));
databaseContract("postgres:", async () => openDatabase(await newDatabaseUrl(urlOf("postgres:"))));
