/** What every board of instances keeps to, by the words of src/ports/instance_board.ts. */
import assert from "node:assert/strict";
import { type InstanceBoard, NOTE_LENGTH_MAX, NOTES_MAX } from "../../src/ports/instance_board.ts";

export interface BoardUnderTest extends AsyncDisposable {
  readonly board: InstanceBoard;
  /** Another instance's view of the same board, where it is shared. */
  readonly other: InstanceBoard;
  /** Lets so much time pass. */
  pass(ms: number): Promise<unknown>;
}

const LIFE_MS = 60_000;

export function instanceBoardContract(name: string, make: () => Promise<BoardUnderTest>): void {
  Deno.test(`${name}: a note is there for all until it is replaced, withdrawn, or ends`, async () => {
    await using tested = await make();
    const { board, other } = tested;
    assert.deepEqual(await other.notes(), []);
    await board.post("a", "first", LIFE_MS);
    await other.post("b", 'line\n"é"', LIFE_MS);
    await board.post("a", "second", LIFE_MS);
    for (const each of [board, other]) {
      assert.deepEqual([...await each.notes()].sort(), ['line\n"é"', "second"]);
    }
    await board.withdraw("a");
    await board.withdraw("nobody");
    await other.post("short", "soon over", 50);
    await tested.pass(100);
    assert.deepEqual(await board.notes(), ['line\n"é"']);
  });

  Deno.test(`${name}: notes are bounded in number and in length`, async () => {
    await using tested = await make();
    const { board, other } = tested;
    await assert.rejects(board.post("long", "x".repeat(NOTE_LENGTH_MAX + 1), LIFE_MS), /at most/);
    await board.post("short", "soon over", 1_000);
    for (let i = 1; i < NOTES_MAX; i++) await board.post(`name ${i}`, `note ${i}`, LIFE_MS);
    await other.post("one more", "too many", LIFE_MS);
    assert.equal((await other.notes()).length, NOTES_MAX);
    assert.ok(!(await other.notes()).includes("too many"));
    await other.post("name 1", "in its place", LIFE_MS);
    assert.ok((await board.notes()).includes("in its place"));
    await tested.pass(1_100);
    await other.post("one more", "room by now", LIFE_MS);
    assert.ok((await board.notes()).includes("room by now"));
  });
}
