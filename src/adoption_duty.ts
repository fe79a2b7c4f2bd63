/** Makes the duty that adopts, where the configuration names a volume to look at. */
import { Adoption, type AdoptionParts } from "./adopting/adoption.ts";
import type { Duty } from "./cluster/duty.ts";
import type { Config } from "./config/config.ts";
import { denoNeighbours } from "./disk/neighbours.ts";
import type { StorePorts } from "./ports/store.ts";

interface AdoptionDutyParts extends Omit<AdoptionParts, "neighbours" | "store"> {
  readonly store: StorePorts;
}

export function adoptionDuty(
  { adopt, batch }: Pick<Config, "adopt" | "batch">,
  { store: { store, identity, within }, ...parts }: AdoptionDutyParts,
): readonly Duty[] {
  if (adopt === undefined || within === undefined) return [];
  return [
    new Adoption({ ...adopt, maxRows: batch.max }, {
      ...parts,
      neighbours: denoNeighbours,
      store: { store, identity, within },
    }),
  ];
}
