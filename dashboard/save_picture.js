// Two buttons that save the figure beside them as it is drawn now. No server is asked.
const MARGIN = 10, TITLE = 30

function whole(chart, title) {
  // Plotly draws one figure as several pictures of one size, one above the other.
  const layers = [...chart.querySelectorAll("svg.main-svg")]
  const width = chart.clientWidth, height = chart.clientHeight + TITLE
  const page = getComputedStyle(document.querySelector(".stApp"))
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg")
  svg.setAttribute("width", width)
  svg.setAttribute("height", height)
  const ground = svg.appendChild(document.createElementNS(svg.namespaceURI, "rect"))
  ground.setAttribute("width", "100%")
  ground.setAttribute("height", "100%")
  ground.setAttribute("fill", page.backgroundColor)
  const words = svg.appendChild(document.createElementNS(svg.namespaceURI, "text"))
  words.textContent = title
  words.setAttribute("x", MARGIN)
  words.setAttribute("y", 20)
  words.setAttribute("style", `font: 600 15px sans-serif; fill: ${page.color}`)
  const body = svg.appendChild(document.createElementNS(svg.namespaceURI, "g"))
  body.setAttribute("transform", `translate(0 ${TITLE})`)
  for (const layer of layers) body.append(...layer.cloneNode(true).childNodes)
  return { text: new XMLSerializer().serializeToString(svg), width, height }
}

function save(blob, name) {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000)
}

function png(picture, name) {
  const image = new Image()
  image.onload = () => {
    const canvas = document.createElement("canvas")
    canvas.width = 2 * picture.width
    canvas.height = 2 * picture.height
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height)
    canvas.toBlob((blob) => save(blob, name), "image/png")
  }
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(picture.text)}`
}

export default function ({ parentElement, data }) {
  const act = (kind) => () => {
    const chart = document.querySelector(`.st-key-${data.key} .js-plotly-plot`)
    if (!chart) return
    const picture = whole(chart, data.title)
    if (kind === "png") png(picture, `${data.file}.png`)
    else save(new Blob([picture.text], { type: "image/svg+xml" }), `${data.file}.svg`)
  }
  for (const kind of ["png", "svg"]) {
    const button = parentElement.querySelector(`[data-kind=${kind}]`)
    button.textContent = data[kind]
    button.onclick = act(kind)
  }
}
