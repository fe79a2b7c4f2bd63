/**
 * Makes the table of the applied intervals, beside `user_data`, once somebody applies groups.
 */
import { StoreRefusesError } from "../../errors.ts";
import { createApplied, grantApplied } from "./ddl.ts";
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
  const create = createApplied(place!.schema);
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
        `superuser run this: ${create}; ${grantApplied(schema, role)};`,
      { cause },
    );
  }
}
