/** `deno task screenshots`: the pictures of the README, made by the test. */
import type { Page } from "playwright-core";

/** Pictures are kept only where this says so. */
const folder = Deno.env.get("SCREENSHOTS");

export const areKept = folder !== undefined;

export async function screenshot(page: Page, name: string): Promise<void> {
  if (folder === undefined) return;
  await Deno.mkdir(folder, { recursive: true });
  await page.evaluate(() => {
    scrollTo(0, 0);
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
  });
  await page.screenshot({ path: `${folder}/dashboard-${name}.png` });
}
