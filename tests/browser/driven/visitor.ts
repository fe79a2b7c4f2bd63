/** Somebody who looks at the page: what it shows, and what it complains of. */
import axe from "axe-core";
import assert from "node:assert/strict";
import type { BrowserContext, Page } from "playwright-core";

const LIMIT_MS = 30_000;

export type Level = "well" | "warning" | "problem" | "unheard";

export type Theme = "light" | "dark";

export class Visitor {
  /** Errors and warnings of the console, and errors that nobody caught. */
  readonly complaints: string[] = [];
  /** Whatever was asked for beyond the server. */
  readonly foreign: string[] = [];

  private constructor(readonly page: Page) {}

  static async at(context: BrowserContext, url: string): Promise<Visitor> {
    const page = await context.newPage();
    page.setDefaultTimeout(LIMIT_MS);
    const visitor = new Visitor(page);
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) visitor.complaints.push(message.text());
    });
    page.on("pageerror", (error) => visitor.complaints.push(String(error)));
    page.on("request", (request) => {
      if (!request.url().startsWith(url)) visitor.foreign.push(request.url());
    });
    await page.goto(url);
    return visitor;
  }

  /** What was complained of since this was asked last. */
  takeComplaints(): string[] {
    return this.complaints.splice(0);
  }

  text(selector: string): Promise<string> {
    return this.page.locator(selector).innerText();
  }

  async sees(selector: string, text: string | RegExp, timeout = LIMIT_MS): Promise<void> {
    await this.page.locator(selector).filter({ hasText: text }).first().waitFor({ timeout });
  }

  async isTold(level: Level, text: RegExp, timeout = LIMIT_MS): Promise<void> {
    await this.sees(`#verdict[data-level=${level}] #verdict-text`, text, timeout);
  }

  async isLive(): Promise<void> {
    await this.page.locator("body[data-connection=live]").waitFor();
  }

  /** Waits until another second of the server is shown. */
  async isUpdated(): Promise<void> {
    await this.isLive();
    const before = await this.text("#connection-text");
    await this.page.waitForFunction(
      (before) => {
        const { connection } = document.body.dataset;
        const now = document.getElementById("connection-text")!.textContent;
        return connection === "live" && now !== before;
      },
      before,
      // A tab behind another one draws no frames, which would be waited for otherwise.
      { polling: 100 },
    );
  }

  /** Answers the dialog; returns what it says. */
  async answers(button: "#confirm-yes" | "#confirm-no"): Promise<string> {
    const text = await this.text("#confirm-text");
    await this.page.locator(button).click();
    await this.page.locator("#confirm").waitFor({ state: "hidden" });
    return text;
  }

  /** Nobody is kept from using the page as it is now. */
  async isAccessible(what: string, themes: readonly Theme[] = ["dark"]): Promise<void> {
    await this.page.evaluate(axe.source);
    for (const colorScheme of themes) {
      await this.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const found = await this.page.evaluate(async () => {
        const { axe } = globalThis as unknown as { axe: typeof import("axe-core") };
        const { violations } = await axe.run(document);
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html)}`);
      });
      assert.deepEqual(found, [], `${what}, ${colorScheme}`);
    }
    await this.page.emulateMedia({ colorScheme: "light" });
  }
}
