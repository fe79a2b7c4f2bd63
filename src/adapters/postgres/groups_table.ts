/**
 * Makes the table of the applied intervals, beside `user_data`, for whoever applies groups: a
 * service that brings its entries to the store itself has no use for it, and needs no right for it.
 */
import { StoreRefusesError } from "../../errors.ts";
import type { Session } from "./session.ts";
import { INSUFFICIENT_PRIVILEGE, sqlStateOf } from "./sql_state.ts";

/** Another instance made it at the same time. */
const COLLISIONS = ["23505", "42P07"];

interface Place {
  readonly schema: string;
  readonly role: string;
  readonly is_there: boolean;
}

/** @throws StoreRefusesError with what the owner has to do, when the role may not do it */
export async function ensureGroupsTable(session: Session): Promise<void> {
  const { rows: [place] } = await session.query<Place>(
    `select quote_ident(n.nspname) as schema, quote_ident(current_user) as role,
       to_regclass(format('%I.dsproxy_applied', n.nspname)) is not null as is_there
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = 'user_data'::regclass`,
  );
  if (place!.is_there) return;
  const create = `create table if not exists ${place!.schema}.dsproxy_applied (source text not null,
    first bigint not null, last bigint not null, primary key (source, first))`;
  try {
    await session.query(create);
  } catch (cause) {
    const state = sqlStateOf(cause) ?? "";
    if (COLLISIONS.includes(state)) return;
    if (state !== INSUFFICIENT_PRIVILEGE) throw cause;
    const { schema, role } = place!;
    throw new StoreRefusesError(
      INSUFFICIENT_PRIVILEGE,
      `The role ${role} may not create a table in the schema ${schema}. Let its owner or a ` +
        `superuser run this: ${create.replaceAll(/\s+/g, " ")}; grant select, insert, delete on ` +
        `${schema}.dsproxy_applied to ${role};`,
      { cause },
    );
  }
}
