import { type Program, parseSync, Visitor } from 'oxc-parser'

/** One import, re-export, `import()` or `import('x').Type`; all of them tie this file to another one. */
export interface Import {
  /** `undefined` where the specifier is computed, so that nobody can tell what is imported. */
  readonly specifier: string | undefined
  readonly line: number
}

/** A place in a file, and what stands there. */
export interface Place {
  readonly text: string
  readonly line: number
}

/** What the rules of the house need to know about a file. */
export interface SourceFile {
  readonly path: string
  readonly lineCount: number
  readonly imports: readonly Import[]
  /** `export *` and `export default`, by kind. */
  readonly exportStars: readonly Place[]
  readonly defaultExports: readonly Place[]
  /** Statements other than `export { ... } from '...'`. */
  readonly otherStatements: readonly Place[]
  /** `object.property` in dotted form, wherever it is used: `Date.now`, `console.log`. */
  readonly members: readonly Place[]
  /** Identifiers, and the text of string literals and templates. */
  readonly identifiers: readonly Place[]
  readonly strings: readonly Place[]
  readonly comments: readonly Place[]
}

export function parseSource(path: string, text: string): SourceFile {
  const { program, comments, errors } = parseSync(path, text)
  const [error] = errors
  if (error !== undefined) throw new Error(`${path}: ${error.message}`)
  const lineOf = lineFinder(text)
  const place = (node: { readonly start: number }, content: string): Place => ({
    text: content,
    line: lineOf(node.start),
  })
  return {
    path,
    lineCount: text.trimEnd().split('\n').length,
    ...moduleShape(program, place),
    ...contents(program, place),
    comments: comments.map((comment) => place(comment, comment.value)),
  }
}

type At = (node: { readonly start: number }, content: string) => Place

function moduleShape(
  program: Program,
  place: At,
): Pick<SourceFile, 'exportStars' | 'defaultExports' | 'otherStatements'> {
  const exportStars: Place[] = []
  const defaultExports: Place[] = []
  const otherStatements: Place[] = []
  for (const node of program.body) {
    if (node.type === 'ExportAllDeclaration') exportStars.push(place(node, node.source.value))
    else if (node.type === 'ExportDefaultDeclaration') defaultExports.push(place(node, 'default'))
    else if (node.type === 'ExportNamedDeclaration' && node.source !== null) {
      const named = node.specifiers.map(({ exported }) => ('name' in exported ? exported.name : exported.value))
      if (named.includes('default')) defaultExports.push(place(node, 'default'))
    } else otherStatements.push(place(node, node.type))
  }
  return { exportStars, defaultExports, otherStatements }
}

function contents(program: Program, place: At): Pick<SourceFile, 'imports' | 'members' | 'identifiers' | 'strings'> {
  const imports: Import[] = []
  const members: Place[] = []
  const identifiers: Place[] = []
  const strings: Place[] = []
  const imported = (node: { readonly start: number }, specifier: string | undefined): void => {
    imports.push({ specifier, line: place(node, '').line })
  }
  new Visitor({
    ImportDeclaration: (node) => imported(node, node.source.value),
    ExportNamedDeclaration: (node) => node.source !== null && imported(node, node.source.value),
    ExportAllDeclaration: (node) => imported(node, node.source.value),
    TSImportType: (node) => imported(node, node.source.value),
    TSExternalModuleReference: (node) => imported(node, node.expression.value),
    ImportExpression: ({ source, ...node }) =>
      imported(node, source.type === 'Literal' && typeof source.value === 'string' ? source.value : undefined),
    MemberExpression: (node) => {
      const { object, property } = node
      if (object.type !== 'Identifier') return
      if (property.type === 'Identifier') members.push(place(node, `${object.name}.${property.name}`))
      else members.push(place(node, `${object.name}[]`))
    },
    NewExpression: (node) => {
      if (node.callee.type === 'Identifier' && node.arguments.length === 0)
        members.push(place(node, `new ${node.callee.name}()`))
    },
    Identifier: (node) => identifiers.push(place(node, node.name)),
    Literal: (node) => typeof node.value === 'string' && strings.push(place(node, node.value)),
    TemplateElement: (node) => strings.push(place(node, node.value.raw)),
  }).visit(program)
  return { imports, members, identifiers, strings }
}

function lineFinder(text: string): (offset: number) => number {
  return (offset) => text.slice(0, offset).split('\n').length
}
