import { readFile } from 'node:fs/promises'
import { type Figure, median } from './figures.ts'
import { interleaved } from './rounds.ts'
import { runProgram } from './run-program.ts'

const LIMIT_MS = 40
const LIMIT_PACKAGES = 3

/** What the package weighs when it is loaded. */
export async function importTime(): Promise<readonly Figure[]> {
  const times = await interleaved(
    {
      ours: async () => (await runProgram('import')).elapsedMs,
      floor: async () => (await runProgram('bare')).elapsedMs,
    },
    { turns: 41, warmUps: 2 },
  )
  const beyond = median(times.ours.map((time, turn) => time - (times.floor[turn] ?? Number.NaN)))
  const packages = await packagesBelow('evertoken')
  return [
    {
      what: `import 'evertoken' beyond bare Node: ${beyond.toFixed(1)} ms`,
      ours: `${median(times.ours).toFixed(1)} ms`,
      floor: `${median(times.floor).toFixed(1)} ms`,
      limit: `floor + ${LIMIT_MS} ms`,
      isWithin: beyond <= LIMIT_MS,
    },
    {
      what: `packages installed with it: ${packages.join(', ')}`,
      ours: String(packages.length),
      limit: String(LIMIT_PACKAGES),
      isWithin: packages.length <= LIMIT_PACKAGES,
    },
  ]
}

interface LockedPackage {
  readonly dependencies?: Readonly<Record<string, string>>
}

/** The packages that are installed for the sake of this one, from the lock file. */
async function packagesBelow(name: string): Promise<readonly string[]> {
  const file = new URL('../../package-lock.json', import.meta.url)
  const { packages } = JSON.parse(await readFile(file, 'utf8')) as { packages: Record<string, LockedPackage> }
  const found = new Set<string>()
  const queue = [packages['']]
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const dependency of Object.keys(next.dependencies ?? {})) {
      if (dependency === name || found.has(dependency)) continue
      found.add(dependency)
      queue.push(packages[`node_modules/${dependency}`])
    }
  }
  return [...found].sort()
}
