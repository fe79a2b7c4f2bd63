/** Says at a worker that writes and reads are taken elsewhere. */
import { AppError } from "../../errors.ts";
import type { Handler } from "../handler.ts";

const refuse: Handler = () => {
  throw new AppError(
    "no-such-path",
    "This instance is a worker (ROLE=worker): it takes no writes and no reads. Ask an API server.",
  );
};

export const workerHandlers = { write: refuse, writeStatus: refuse, read: refuse };
