import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { root } from '../support/manifest.ts'
import type { Block } from './pages.ts'

interface Sample {
  readonly path: string
  readonly text: string
  readonly block: Block
  /** How many lines of the file stand before the block's own. */
  readonly offset: number
}

/**
 * What the compiler says about the blocks, each a module of its own, as `page:line message`.
 * A block that opens with `ts continued` follows the block before it on its page.
 */
export function compileErrors(name: string, blocks: readonly Block[]): readonly string[] {
  const folder = `build/docs/${name}`
  rmSync(`${root}${folder}`, { recursive: true, force: true })
  const samples = samplesOf(blocks)
  if (samples.length === 0) return []
  for (const { path, text } of samples) {
    mkdirSync(dirname(`${root}${folder}/${path}`), { recursive: true })
    writeFileSync(`${root}${folder}/${path}`, text)
  }
  writeFileSync(
    `${root}${folder}/tsconfig.json`,
    JSON.stringify({ ...tsconfig, files: samples.map(({ path }) => path) }),
  )
  return compilerOutput(folder)
    .split('\n')
    .filter((line) => line !== '')
    .flatMap((line) => onPage(line, folder, samples))
}

const tsconfig = {
  extends: '../../../tsconfig.programs.json',
  compilerOptions: {
    composite: false,
    declaration: false,
    noEmit: true,
    // An example may show a result without using it.
    noUnusedLocals: false,
    noUnusedParameters: false,
  },
}

function samplesOf(blocks: readonly Block[]): readonly Sample[] {
  const samples: Sample[] = []
  for (const [index, block] of blocks.entries()) {
    const previous = block.remark === 'continued' ? samples.at(-1) : undefined
    if (block.remark === 'continued' && previous?.block.page !== block.page)
      throw new Error(`${block.page}:${block.line} continues no block`)
    const before = [previous?.text ?? '', block.setup].filter((part) => part !== '').join('\n')
    samples.push({
      path: `${block.page.replace(/\.md$/, '')}/${index}.ts`,
      text: before === '' ? block.text : `${before}\n${block.text}`,
      block,
      offset: before === '' ? 0 : before.split('\n').length,
    })
  }
  return samples
}

function compilerOutput(folder: string): string {
  const tsc = `${root}node_modules/typescript/bin/tsc`
  try {
    return execFileSync(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], { cwd: root, encoding: 'utf8' })
  } catch (error) {
    return String(Object(error).stdout)
  }
}

/** Turns the compiler's place into the reader's; what an earlier block got wrong is said there, not again. */
function onPage(line: string, folder: string, samples: readonly Sample[]): readonly string[] {
  const found = /^(.+?)\((\d+),\d+\): (.*)$/.exec(line)
  const sample = samples.find(({ path }) => found?.[1] === `${folder}/${path}`)
  if (found === null || sample === undefined) return [line]
  const { block, offset } = sample
  const own = Number(found[2]) - offset
  if (own < 1 && block.remark === 'continued') return []
  return [`${block.page}:${block.line + Math.max(own, 1) - 1} ${found[3]}`]
}
