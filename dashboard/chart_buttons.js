// Buttons that save a figure as it is drawn now, or copy a query. No server is asked.
const MARGIN = 10, TITLE = 30

// A picture is drawn with the fonts of whoever opens it: every line of text keeps the length it
// has on the page, and nothing that was measured by it (a legend's entries) is cut or overlaps.
function fixLengths(layer, copy) {
  const lines = (svg) => [...svg.querySelectorAll("text, tspan")]
  const copies = lines(copy)
  lines(layer).forEach((line, place) => {
    const length = line.querySelector("tspan") ? 0 : line.getComputedTextLength()
    if (!length) return
    copies[place].setAttribute("textLength", length.toFixed(1))
    copies[place].setAttribute("lengthAdjust", "spacingAndGlyphs")
  })
  return copy
}

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
  const wide = document.createElement("canvas").getContext("2d")
  wide.font = "600 15px sans-serif"
  const room = width - 2 * MARGIN
  if (wide.measureText(title).width > room) words.setAttribute("textLength", room)
  words.setAttribute("lengthAdjust", "spacingAndGlyphs")
  const body = svg.appendChild(document.createElementNS(svg.namespaceURI, "g"))
  body.setAttribute("transform", `translate(0 ${TITLE})`)
  for (const layer of layers) {
    body.append(...fixLengths(layer, layer.cloneNode(true)).childNodes)
  }
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

async function act(asked, button) {
  if (asked.does === "copy") {
    await navigator.clipboard.writeText(asked.text)
    button.textContent = asked.done
    return
  }
  const chart = document.querySelector(`.st-key-${asked.figure} .js-plotly-plot`)
  if (!chart) return
  const picture = whole(chart, asked.title)
  if (asked.does === "png") png(picture, `${asked.figure}.png`)
  else save(new Blob([picture.text], { type: "image/svg+xml" }), `${asked.figure}.svg`)
}

export default function ({ parentElement, data }) {
  const place = parentElement.querySelector("section")
  const asked = JSON.stringify(data.buttons)
  // A page that follows calls this again and again: whoever stands on a button stays there.
  if (place.dataset.asked === asked) return
  place.dataset.asked = asked
  const buttons = data.buttons.map((one) => {
    const button = document.createElement("button")
    button.textContent = one.label
    button.dataset.does = one.does
    button.onclick = () => act(one, button)
    return button
  })
  place.replaceChildren(...buttons)
}
