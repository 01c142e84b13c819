import { fork } from 'node:child_process'
import { cpus } from 'node:os'
import { benchmarks, longBenchmarks } from './benchmarks.ts'
import { type Figure, tableOf } from './figures.ts'
import { programPath } from './loopback.ts'

const wanted = process.argv.slice(2)
const names = wanted.length > 0 ? wanted : [...benchmarks.keys()].filter((name) => !longBenchmarks.has(name))
for (const name of names) {
  if (benchmarks.has(name)) continue
  console.error(`expected benchmarks out of ${[...benchmarks.keys()].join(', ')}, got ${name}`)
  process.exit(2)
}

console.log(`Node ${process.version}, ${cpus().length} cores, ${process.platform} ${process.arch}\n`)
const figures: Figure[] = []
for (const name of names) {
  process.stderr.write(`${name} ...\n`)
  figures.push(...(await measure(name)))
}
console.log(tableOf(figures))

/** In a process of its own: no benchmark finds a heap or a compiler that another one has shaped. */
function measure(name: string): Promise<readonly Figure[]> {
  return new Promise((resolve, reject) => {
    const child = fork(programPath('one-benchmark'), [name], { execArgv: ['--expose-gc'] })
    let measured: readonly Figure[] | undefined
    child.on('message', (message) => {
      measured = message as readonly Figure[]
    })
    child.on('exit', (code) => {
      if (code === 0 && measured !== undefined) resolve(measured)
      else reject(new Error(`expected benchmark ${name} to exit with 0 and figures, got ${code}`))
    })
  })
}
