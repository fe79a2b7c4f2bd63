/**
 * The page in a real Chromium, on a real service with a real database and traffic. What is done is
 * one story, in one browser and at one instance, so that few processes are started for it.
 */
import assert from "node:assert/strict";
import { DemoWorld } from "../../demo/world.ts";
import { eventually } from "../../support/dsproxy.ts";
import { delay, freePort } from "../../support/services.ts";
import { Chromium } from "./chromium.ts";
import { areKept, screenshot } from "./screenshots.ts";
import { Visitor } from "./visitor.ts";

const WELL = /^All is well\.$/;
const AWAY = /has not answered/;
const WIDE = { width: 1280, height: 1000 };
const NARROW = { width: 360, height: 740 };
/** An outage is told on the page before this. */
const TOLD_WITHIN_MS = 3_000;
/** As many viewers by stream as an instance takes. */
const VIEWERS = 50;
/** Charts that people look at have something to show. */
const PICTURE_MS = areKept ? 60_000 : 0;
/** A user id that would do harm, were it taken for a part of the page. */
const HARMFUL = "<img src=x onerror=alert(1)>";

Deno.test("the page tells how it stands, and what is done there is done", async (t) => {
  await using resources = new AsyncDisposableStack();
  const [world, chromium] = await Promise.all([DemoWorld.start(freePort()), Chromium.start()])
    .then(([world, chromium]) => [resources.use(world), resources.use(chromium)] as const);
  const context = await chromium.browser.newContext({ viewport: WIDE });
  const visitor = await Visitor.at(context, `${world.url}/`);
  const { page } = visitor;

  await t.step(
    "the address of the service leads a browser to it, and it goes on by itself",
    async () => {
      assert.equal(page.url(), `${world.url}/dashboard`);
      await visitor.isTold("well", WELL);
      world.traffic.start();
      await visitor.sees("#requests", "/write");
      await visitor.sees("#tiers", "memory of the process");
      await visitor.isUpdated();
      await delay(PICTURE_MS);
      await screenshot(page, "before");
    },
  );

  await t.step("nobody is kept from using it, in either theme", async () => {
    await visitor.isAccessible("all is well", ["light", "dark"]);
  });

  await t.step("at 360 pixels nothing has to be scrolled to the side", async () => {
    await page.setViewportSize(NARROW);
    const widths = await page.evaluate(() => {
      const { scrollWidth, clientWidth } = document.documentElement;
      return { scrollWidth, clientWidth };
    });
    assert.equal(widths.scrollWidth, widths.clientWidth);
    await screenshot(page, "narrow");
    await page.setViewportSize(WIDE);
  });

  await t.step("the last hour can be looked back into with the keyboard", async () => {
    await page.locator("#moment").focus();
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("ArrowLeft");
    await visitor.sees("#now-heading", /^At \d/);
    await visitor.sees("#moment-text", /: (All is|all was) well/);
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await visitor.sees("#now-heading", /^Now$/);
  });

  await t.step("seven tabs work, by one connection", async () => {
    const tabs = await Promise.all(
      Array.from({ length: 6 }, () => Visitor.at(context, `${world.url}/dashboard`)),
    );
    await Promise.all([visitor, ...tabs].map((tab) => tab.isUpdated()));
    assert.equal(await world.service.metric("dsproxy_viewers"), 1);
    for (const tab of tabs) {
      assert.deepEqual(tab.takeComplaints(), []);
      await tab.page.close();
    }
    await page.bringToFront();
    await visitor.isUpdated();
  });

  await t.step("where there is no stream to be had it asks now and then", async () => {
    const ending = new AbortController();
    const { signal } = ending;
    const watch = () => fetch(`${world.url}/events`, { signal });
    const streams = await Promise.all(Array.from({ length: VIEWERS - 1 }, watch));
    const other = await chromium.browser.newContext();
    const [late, alone] = await Promise.all([
      Visitor.at(other, `${world.url}/dashboard`),
      withoutSharedWorkers(await chromium.browser.newContext(), `${world.url}/dashboard`),
    ]);
    await Promise.all([late, alone].map((each) => each.isUpdated()));
    for (const each of [late, alone]) {
      await each.page.bringToFront();
      await each.isTold("well", WELL);
      await each.page.close();
    }
    ending.abort();
    await Promise.allSettled(streams.map(({ body }) => body!.cancel()));
  });

  await t.step("an outage of the database is told, and goes", async () => {
    await takeAwayUntilToldInTime(world, visitor);
    await visitor.isAccessible("an outage", ["light", "dark"]);
    await delay(PICTURE_MS / 4);
    await screenshot(page, "during");
    await world.store.bringBack();
    await visitor.isTold("well", WELL);
    await delay(PICTURE_MS / 4);
    await screenshot(page, "after");
    await page.emulateMedia({ colorScheme: "dark" });
    await screenshot(page, "dark");
    await page.emulateMedia({ colorScheme: "light" });
  });

  await t.step("nothing so far was complained of, or asked of anybody else", () => {
    assert.deepEqual(visitor.takeComplaints(), []);
    assert.deepEqual(visitor.foreign, []);
  });

  await t.step("dead letters are found, and replayed when that was confirmed", async () => {
    await world.writePoison(HARMFUL);
    await world.writePoison("another user");
    await visitor.sees("#letters-count", /^2 writes were refused/);
    await page.locator("#letters-user").fill(HARMFUL);
    await page.locator("#letters-find").click();
    await visitor.sees("#letters-outcome", "Type the admin key in first");
    await page.locator("#key").fill("a-wrong-key");
    await page.locator("#letters-find").click();
    await visitor.sees("#letters-outcome", "The key is none whose hash");
    assert.match(visitor.takeComplaints().join(), /^[^,]*401[^,]*$/);

    await page.locator("#key").fill(world.adminKey);
    await page.locator("#letters-find").click();
    await visitor.sees("#letters-summary", /^1 dead letter of user "<img/);
    await visitor.sees("#letters tbody", HARMFUL);
    assert.equal(await page.locator("main img").count(), 0, "it was taken for a part of the page");

    await page.locator("#letters-replay").click();
    assert.match(await visitor.answers("#confirm-no"), /^1 dead letter of user "<img/);
    await visitor.sees("#letters-outcome", "Nothing was changed.");
    await page.locator("#letters-replay").click();
    await visitor.isAccessible("dead letters are found, and a question is asked");
    await visitor.answers("#confirm-yes");
    await visitor.sees("#letters-outcome", "0 dead letters replayed, 1 refused again");

    await world.store.acceptAllValues();
    await page.locator("#letters-replay").click();
    await visitor.answers("#confirm-yes");
    await visitor.sees("#letters-outcome", /^1 dead letter replayed\.$/);
    assert.equal((await world.store.valuesOf(HARMFUL)).length, 1);
    await page.locator("#letters-user").fill("");
    await page.locator("#letters-find").click();
    await page.locator("#letters-discard").click();
    assert.match(await visitor.answers("#confirm-yes"), /^1 dead letter in all.*deleted/);
    await visitor.sees("#letters-outcome", /^1 dead letter discarded\.$/);
    await visitor.sees("#letters-count", "There are none.");
  });

  await t.step("it can be paused and resumed, which the sentence on top tells", async () => {
    await page.locator("#pause").click();
    assert.match(await visitor.answers("#confirm-yes"), /wait.* for the store/);
    await visitor.sees("#operate-outcome", /^Paused/);
    await visitor.isTold("warning", /[Pp]aused|stopped/);
    await page.locator("#resume").click();
    await visitor.answers("#confirm-yes");
    await visitor.isTold("well", WELL);
    await page.locator("#flush").click();
    await visitor.answers("#confirm-yes");
    await visitor.sees("#operate-outcome", /^Flushed/);
  });

  await t.step(
    "while the server is away nothing looks like now, and then it is live again",
    async () => {
      await page.locator("#try-user").fill("ada");
      await page.locator("#try-value").fill("before the restart");
      await page.locator("#try-write").click();
      await visitor.sees("#try-outcome", /^Accepted as /);
      assert.deepEqual(visitor.takeComplaints(), []);
      await world.traffic.stop();
      await world.stopService();
      await visitor.isTold("unheard", /^The server is not heard/);
      assert.equal(await visitor.text("#connection-text"), "connection lost, retrying …");
      await visitor.sees("#now-heading", "Now");
      await visitor.isAccessible("the server is not heard");
    await screenshot(page, "unheard");
      await world.startService();
      await visitor.isTold("well", WELL);
      await page.locator("#try-read").click();
      await visitor.sees("#try-outcome", /^"before the restart", of .* from /);
      await visitor.isUpdated();
    },
  );

  await eventually("no tab is counted that was closed", async () => {
    return await world.service.metric("dsproxy_viewers") === 1;
  });
  assert.deepEqual(visitor.foreign, []);
});

/** On a machine that others use as well, one outage of three must be told in time. */
async function takeAwayUntilToldInTime(world: DemoWorld, visitor: Visitor): Promise<void> {
  for (let triesLeft = 2;; triesLeft--) {
    await world.store.takeAway();
    try {
      return await visitor.isTold("problem", AWAY, TOLD_WITHIN_MS);
    } catch (error) {
      if (triesLeft === 0) throw error;
    }
    await visitor.isTold("problem", AWAY);
    await world.store.bringBack();
    await visitor.isTold("well", WELL);
  }
}

async function withoutSharedWorkers(
  context: Awaited<ReturnType<Chromium["browser"]["newContext"]>>,
  url: string,
): Promise<Visitor> {
  await context.addInitScript(() => {
    Reflect.deleteProperty(globalThis, "SharedWorker");
  });
  return await Visitor.at(context, url);
}
