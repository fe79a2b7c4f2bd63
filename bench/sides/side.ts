/** A side of a benchmark is a service that listens, and knows how it is asked. */
import type { RequestTemplate } from "../load/template.ts";

export interface Side extends AsyncDisposable {
  readonly name: string;
  /** The base URL, without a slash at its end. */
  readonly url: string;
  readonly requests: RequestTemplate;
  /** Resolves when it works on nothing that it accepted before. */
  settled(): Promise<void>;
}
