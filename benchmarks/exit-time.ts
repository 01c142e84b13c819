import { type Figure, median } from './figures.ts'
import { startLoopback } from './loopback.ts'
import { interleaved } from './rounds.ts'
import { runProgram } from './run-program.ts'

const LIMIT_MS = 100
/**
 * The HTTP parser of Node's `fetch` is WebAssembly. Node does not end before the compiler has finished with it, in threads
 * behind the first request, whoever made that. This leaves the optimising compiler out, and with it that wait.
 */
const BASELINE_ONLY = ['--liftoff-only']

/** How soon a script ends that has got one token and closes nothing. */
export async function exitTime(): Promise<readonly Figure[]> {
  const { tokenEndpoint, close } = await startLoopback()
  const exit = (program: string, nodeOptions: readonly string[]) => async () => {
    const { output, exitedAt } = await runProgram(program, { args: [tokenEndpoint], nodeOptions })
    return exitedAt - Number(output)
  }
  const times = await interleaved(
    {
      ours: exit('one-token', []),
      floor: exit('one-fetch', []),
      oursBaseline: exit('one-token', BASELINE_ONLY),
      floorBaseline: exit('one-fetch', BASELINE_ONLY),
    },
    { turns: 15 },
  )
  await close()
  const figure = (what: string, ours: number, floor: number): Figure => ({
    what,
    ours: `${ours.toFixed(1)} ms`,
    floor: `${floor.toFixed(1)} ms`,
    limit: `${LIMIT_MS} ms`,
    isWithin: ours <= LIMIT_MS,
  })
  return [
    figure('exit after the last call: median', median(times.ours), median(times.floor)),
    figure('exit after the last call: longest of 15', Math.max(...times.ours), Math.max(...times.floor)),
    figure(
      `the same with ${BASELINE_ONLY}: longest of 15`,
      Math.max(...times.oursBaseline),
      Math.max(...times.floorBaseline),
    ),
  ]
}
