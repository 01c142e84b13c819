import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fromMarkdown } from 'mdast-util-from-markdown'
import { root } from '../support/manifest.ts'

type Root = ReturnType<typeof fromMarkdown>

/** A fenced block of a page. */
export interface Block {
  /** Path of the page below the root of the repository. */
  readonly page: string
  /** The line of the page on which the block's first line stands. */
  readonly line: number
  /** First word behind the fence. */
  readonly language: string
  /** The words after it. */
  readonly remark: string
  readonly text: string
  /** What a comment `<!-- ts: ... -->` directly above the block declares for it. */
  readonly setup: string
}

/** README.md, CONTRIBUTING.md and every page below docs/, by path. */
export function pages(): ReadonlyMap<string, string> {
  const folder = `${root}docs`
  const below = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : []
  const docs = below.filter((path) => path.endsWith('.md')).map((path) => `docs/${path.replaceAll('\\', '/')}`)
  const found = ['README.md', 'CONTRIBUTING.md', ...docs.sort()].filter((page) => existsSync(`${root}${page}`))
  return new Map(found.map((page) => [page, readFileSync(`${root}${page}`, 'utf8')]))
}

/** The fenced blocks of a page in their order. */
export function blocksOf(page: string, markdown: string): readonly Block[] {
  const blocks: Block[] = []
  visit(fromMarkdown(markdown))
  return blocks

  function visit(node: Root | Root['children'][number], before?: Root['children'][number]): void {
    if (node.type === 'code') {
      const setup = before?.type === 'html' ? /^<!--\s*ts:([\s\S]*)-->$/.exec(before.value.trim()) : null
      blocks.push({
        page,
        line: (node.position?.start.line ?? 0) + 1,
        language: node.lang ?? '',
        remark: node.meta ?? '',
        text: node.value,
        setup: setup?.[1]?.trim() ?? '',
      })
    }
    if (!('children' in node)) return
    for (const [index, child] of node.children.entries()) visit(child, node.children[index - 1])
  }
}

/** The words in code spans that begin a row of a table whose first column has this title. */
export function codesInTables(markdown: string, title: string): readonly string[] {
  const lines = markdown.split('\n')
  let isInside = false
  return lines.flatMap((line) => {
    const first = /^\|\s*([^|]*?)\s*\|/.exec(line)?.[1]
    if (first === undefined) isInside = false
    else if (first.toLowerCase() === title) isInside = true
    const code = isInside ? /^`([^`]+)`$/.exec(first ?? '')?.[1] : undefined
    return code === undefined ? [] : [code]
  })
}
