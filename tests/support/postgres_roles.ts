/** Roles that may do less than the superuser of the test server. */
import { once } from "./postgres.ts";

interface Role {
  readonly user: string;
  readonly password: string;
}

/**
 * Runs `work` with a role that can log in, and that is removed afterwards with all it owns. @param
 * options of `create role`
 */
export async function withRole<T>(
  url: string,
  work: (role: Role) => Promise<T>,
  options = "",
): Promise<T> {
  const role = { user: `role_${crypto.randomUUID().slice(0, 8)}`, password: "pw" };
  await once(url, (sql) => sql.unsafe(`create role ${role.user} login password 'pw' ${options}`));
  try {
    return await work(role);
  } finally {
    await once(url, (sql) => sql.unsafe(`drop owned by ${role.user}; drop role ${role.user}`));
  }
}
